// Splits a text into words, across which BPE never merges.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sq/text/regex.h"

namespace sq {

// What happens to the matches of a pattern that splits a text (Hugging Face's
// SplitDelimiterBehavior).
enum class SplitBehavior {
  kRemoved,             // dropped
  kIsolated,            // words of their own
  kMergedWithPrevious,  // joined to the preceding text
  kMergedWithNext,      // joined to the following text
  kContiguous,          // adjacent matches form one word
};

// One step, applied to every word from the previous step.
struct SplitStep {
  std::optional<Regex> pattern;  // empty: no split
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;             // split at the text that the pattern does not match
  std::string space_symbol = " ";  // replaces each space before anything else
  bool add_prefix_space = false;   // prepend that symbol to a word that does not begin with it
  bool only_first = false;         // prepend it only to the word at the start of the text
  // Finally replace each byte by its byte-level character (bpe.h), as input of the next step.
  bool spell_bytes = false;
};

// Pre-tokenization ahead of BPE. Immutable; Split may be called from several threads at
// once.
class PreTokenizer {
 public:
  using Emit = std::function<void(std::string_view)>;

  PreTokenizer() = default;
  explicit PreTokenizer(std::vector<SplitStep> steps) : steps_(std::move(steps)) {}

  // Calls `emit` for each non-empty word of `text` (valid UTF-8) in order. A word is valid only
  // during the call. `is_start`: whether `text` is at the start of the whole text.
  void Split(std::string_view text, bool is_start, Regex::Scratch* scratch, const Emit& emit) const;

 private:
  void RunFrom(size_t step, std::string_view word, bool is_start, Regex::Scratch* scratch,
               const Emit& emit) const;

  std::vector<SplitStep> steps_;
};

}  // namespace sq
