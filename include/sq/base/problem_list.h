// Faults found side by side, told in one line.
#pragma once

#include <string>

namespace sq {

class ProblemList {
 public:
  void Add(const std::string& problem);

  // Throws sq::Error "WHERE: first; second; and 3 more", the first five in the order they were
  // added, when there are any.
  void Check(const std::string& where) const;

 private:
  std::string text_;
  int count_ = 0;
};

}  // namespace sq
