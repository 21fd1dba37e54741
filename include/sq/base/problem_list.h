// Collects several problems and reports them in one error.
#pragma once

#include <string>

namespace sq {

class ProblemList {
 public:
  void Add(const std::string& problem);

  // If there are any, throws sq::Error "WHERE: first; second; and 3 more" with the first five in
  // the order in which they were added.
  void Check(const std::string& where) const;

 private:
  std::string text_;
  int count_ = 0;
};

}  // namespace sq
