#include "sq/text/pre_tokenizer.h"

#include <string>

#include "sq/base/error.h"
#include "sq/text/bpe.h"
#include "sq/text/normalizer.h"

namespace sq {
namespace {

using Span = Regex::Span;

// Builds words from the spans of a text for the behaviors that join a span to an adjacent one.
std::vector<Span> Join(const std::vector<Span>& spans, SplitBehavior behavior) {
  std::vector<Span> words;
  bool previous = false;  // whether the previous span was a match
  if (behavior == SplitBehavior::kMergedWithNext) {
    for (auto span = spans.rbegin(); span != spans.rend(); ++span) {
      if (span->match && !previous && !words.empty()) {
        words.back().begin = span->begin;
      } else {
        words.push_back(*span);
      }
      previous = span->match;
    }
    return {words.rbegin(), words.rend()};
  }
  const bool contiguous = behavior == SplitBehavior::kContiguous;
  for (const Span& span : spans) {
    const bool joins = contiguous ? span.match == previous : span.match && !previous;
    if (joins && !words.empty()) {
      words.back().end = span.end;
    } else {
      words.push_back(span);
    }
    previous = span.match;
  }
  return words;
}

void SplitWord(const SplitStep& step, std::string_view text, Regex::Scratch* scratch,
               const PreTokenizer::Emit& emit) {
  const auto emit_span = [&](const Span& span) {
    if (span.begin < span.end) emit(text.substr(span.begin, span.end - span.begin));
  };
  if (step.behavior == SplitBehavior::kIsolated || step.behavior == SplitBehavior::kRemoved) {
    const bool removes = step.behavior == SplitBehavior::kRemoved;
    step.pattern->ForEachSpan(text, scratch, [&](const Span& span) {
      if (!removes || span.match == step.invert) emit_span(span);
    });
    return;
  }
  std::vector<Span> spans;
  step.pattern->ForEachSpan(text, scratch, [&](Span span) {
    span.match = span.match != step.invert;
    spans.push_back(span);
  });
  for (const Span& word : Join(spans, step.behavior)) emit_span(word);
}

}  // namespace

void PreTokenizer::Split(std::string_view text, bool is_start, Regex::Scratch* scratch,
                         const Emit& emit) const {
  if (!text.empty()) RunFrom(0, text, is_start, scratch, emit);
}

void PreTokenizer::RunFrom(size_t index, std::string_view word, bool is_start,
                           Regex::Scratch* scratch, const Emit& emit) const {
  if (index == steps_.size()) return emit(word);
  const SplitStep& step = steps_[index];
  const std::string& space = step.space_symbol;
  std::string changed;
  if (space != " ") {
    changed = ReplaceAll(word, " ", space);
    word = changed;
  }
  if (step.add_prefix_space && (is_start || !step.only_first) &&
      word.substr(0, space.size()) != space) {
    changed = StrCat(space, word);
    word = changed;
  }
  const auto next = [&](std::string_view part) {
    const bool part_is_start = is_start && part.data() == word.data();
    if (!step.spell_bytes) return RunFrom(index + 1, part, part_is_start, scratch, emit);
    RunFrom(index + 1, SpellBytes(part), part_is_start, scratch, emit);
  };
  step.pattern ? SplitWord(step, word, scratch, next) : next(word);
}

}  // namespace sq
