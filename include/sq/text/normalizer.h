// Changes a text before it is cut into words, as tokenizer.json asks for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sq {

enum class NormalizeKind {
  kPrepend,  // puts `to` in front of a text that is not empty
  kReplace,  // `to` in the place of each `from`
  kNfc,      // Unicode's composed form
};

struct NormalizeStep {
  NormalizeKind kind;
  std::string from;  // not empty for kReplace
  std::string to;
};

// `text` (valid UTF-8) after each step in turn, valid UTF-8. O(n) a step for n bytes, but for NFC
// O(m^2) within a run of m combining marks.
std::string Normalize(const std::vector<NormalizeStep>& steps, std::string_view text);

// Every `from` (not empty), from left to right and without overlap, replaced by `to`.
std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to);

}  // namespace sq
