#include "sq/base/problems.h"

#include "sq/base/error.h"

namespace sq {
namespace {

constexpr int kMostTold = 5;

}  // namespace

void Problems::Add(const std::string& problem) {
  if (++count_ <= kMostTold) text_ += (count_ == 1 ? "" : "; ") + problem;
}

void Problems::Check(const std::string& where) const {
  SQ_CHECK(count_ == 0, where, ": ", text_,
           count_ > kMostTold ? StrCat("; and ", count_ - kMostTold, " more") : "");
}

}  // namespace sq
