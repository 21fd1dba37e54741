#include "sq/base/problem_list.h"

#include "sq/base/error.h"

namespace sq {
namespace {

constexpr int kMaxTold = 5;

}  // namespace

void ProblemList::Add(const std::string& problem) {
  if (++count_ <= kMaxTold) text_ += (count_ == 1 ? "" : "; ") + problem;
}

void ProblemList::Check(const std::string& where) const {
  SQ_CHECK(count_ == 0, where, ": ", text_,
           count_ > kMaxTold ? StrCat("; and ", count_ - kMaxTold, " more") : "");
}

}  // namespace sq
