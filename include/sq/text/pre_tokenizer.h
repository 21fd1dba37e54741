// Cuts a text into words, across which BPE never merges.
#pragma once

#include <functional>
#include <optional>
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
  bool invert = false;            // split at what the pattern does not match
  bool add_prefix_space = false;  // to a word that does not begin with one, before it is split
};

// Pre-tokenization ahead of byte-level BPE. Immutable; Split may be called from several threads at
// once.
class PreTokenizer {
 public:
  using Emit = std::function<void(std::string_view)>;

  PreTokenizer() = default;
  explicit PreTokenizer(std::vector<SplitStep> steps) : steps_(std::move(steps)) {}

  // Calls `emit` for each word of `text` (valid UTF-8) in order, none of them empty. A word is
  // valid only during its call.
  void Split(std::string_view text, Regex::Scratch* scratch, const Emit& emit) const;

 private:
  void RunFrom(size_t step, std::string_view word, Regex::Scratch* scratch, const Emit& emit) const;

  std::vector<SplitStep> steps_;
};

}  // namespace sq
