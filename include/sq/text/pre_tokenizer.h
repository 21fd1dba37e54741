// Cuts a text into words, across which BPE never merges.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sq/text/regex.h"

namespace sq {

// What becomes of the matches of a pattern that splits a text (Hugging Face's
// SplitDelimiterBehavior).
enum class SplitBehavior {
  kRemoved,             // dropped
  kIsolated,            // words of their own
  kMergedWithPrevious,  // joined to what stands before
  kMergedWithNext,      // joined to what follows
  kContiguous,          // neighbouring matches form one word
};

// One step; it acts on every word that the step before gave.
struct SplitStep {
  std::optional<Regex> pattern;  // none: words stay whole
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;             // split at what the pattern does not match
  std::string space_symbol = " ";  // takes the place of each space, before anything else
  bool add_prefix_space = false;   // that symbol, to a word that does not begin with it
  bool only_first = false;         // add it to the word at the start of the text alone
  // Then each byte of a word becomes its byte-level character (bpe.h), for what follows to act on.
  bool spell_bytes = false;
};

// Pre-tokenization ahead of BPE. Immutable; Split may be called from several threads at
// once.
class PreTokenizer {
 public:
  using Emit = std::function<void(std::string_view)>;

  PreTokenizer() = default;
  explicit PreTokenizer(std::vector<SplitStep> steps) : steps_(std::move(steps)) {}

  // Calls `emit` for each word of `text` (valid UTF-8) in order, none of them empty. A word is
  // valid only during its call. `is_start` says whether `text` stands at the start of all text.
  void Split(std::string_view text, bool is_start, Regex::Scratch* scratch, const Emit& emit) const;

 private:
  void RunFrom(size_t step, std::string_view word, bool is_start, Regex::Scratch* scratch,
               const Emit& emit) const;

  std::vector<SplitStep> steps_;
};

}  // namespace sq
