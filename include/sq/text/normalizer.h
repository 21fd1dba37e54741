// Changes a text before it is cut into words, as tokenizer.json asks for.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sq/text/character_map.h"
#include "sq/text/regex.h"

namespace sq {

enum class NormalizeKind {
  kPrepend,       // puts `to` in front of a text that is not empty
  kReplace,       // `to` in the place of each `from`, or match of `pattern` where there is one
  kNfc,           // Unicode's composed form
  kStripLeft,     // without the white space in front
  kStripRight,    // or behind
  kCharacterMap,  // characters replaced by the table `characters`
  kSpellBytes,    // each byte its byte-level character (bpe.h)
};

struct NormalizeStep {
  NormalizeKind kind;
  std::string from;  // not empty for kReplace without a pattern
  std::string to;
  std::shared_ptr<const Regex> pattern = nullptr;
  std::shared_ptr<const CharacterMap> characters = nullptr;
};

// `text` (valid UTF-8) after each step in turn, valid UTF-8. O(n) a step for n bytes, but for NFC
// O(m^2) within a run of m combining marks.
std::string Normalize(const std::vector<NormalizeStep>& steps, std::string_view text);

// Every `from` (not empty), from left to right and without overlap, replaced by `to`.
std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to);

// Every match of `pattern` in `text` (valid UTF-8) replaced by `to`.
std::string ReplaceMatches(std::string_view text, const Regex& pattern, std::string_view to);

}  // namespace sq
