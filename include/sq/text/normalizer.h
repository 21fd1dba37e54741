// The normalizer of a tokenizer.json: transforms a text before it is split into words.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sq/text/character_map.h"
#include "sq/text/regex.h"

namespace sq {

enum class NormalizeKind {
  kPrepend,       // prepends `to` to a non-empty text
  kReplace,       // replaces each `from`, or each match of `pattern` if set, by `to`
  kNfc,           // Unicode normalization form C
  kStripLeft,     // removes leading white space
  kStripRight,    // removes trailing white space
  kCharacterMap,  // replaces characters by the table `characters`
  kSpellBytes,    // replaces each byte by its byte-level character (bpe.h)
};

struct NormalizeStep {
  NormalizeKind kind;
  std::string from;  // not empty for kReplace without a pattern
  std::string to;
  std::shared_ptr<const Regex> pattern = nullptr;
  std::shared_ptr<const CharacterMap> characters = nullptr;
};

// Applies the steps in order; input and output are valid UTF-8. O(n) per step for n bytes, except
// that NFC is O(m^2) within a run of m combining marks.
std::string Normalize(const std::vector<NormalizeStep>& steps, std::string_view text);

// Replaces every non-overlapping `from` (not empty), from left to right, by `to`.
std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to);

// Replaces every match of `pattern` in `text` (valid UTF-8) by `to`.
std::string ReplaceMatches(std::string_view text, const Regex& pattern, std::string_view to);

}  // namespace sq
