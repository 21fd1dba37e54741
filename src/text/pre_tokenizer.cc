#include "sq/text/pre_tokenizer.h"

#include <string>

#include "sq/base/error.h"
#include "sq/text/normalizer.h"
#include "sq/text/unicode_additions.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

struct Span {
  size_t begin = 0;
  size_t end = 0;
  bool match = false;
};

// Calls `visit` for the matches of `pattern` in `text` and the gaps between them, in order; an
// empty match, which divides what is around it, is allowed but right after another match.
template <typename Visit>
void ForEachSpan(const Regex& pattern, std::string_view text, Regex::Scratch* scratch,
                 const Visit& visit) {
  std::string storage;
  const std::string_view searched = WithStandIns(text, &storage);
  size_t done = 0;
  size_t from = 0;
  bool any = false;
  Regex::Match match;
  while (from <= text.size() && pattern.Find(searched, from, scratch, &match)) {
    if (match.begin == match.end && any && match.end == done) {
      if (match.end == text.size()) break;
      char32_t c;
      from = match.end + DecodeUtf8(text.substr(match.end), &c);
      continue;
    }
    if (done < match.begin) visit(Span{done, match.begin, false});
    visit(Span{match.begin, match.end, true});
    done = from = match.end;
    any = true;
  }
  if (done < text.size()) visit(Span{done, text.size(), false});
}

// The words that `spans` (of all of a text) make for the behaviors that join a span to its
// neighbour.
std::vector<Span> Join(const std::vector<Span>& spans, SplitBehavior behavior) {
  std::vector<Span> words;
  bool previous = false;  // the span visited before is a match
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
    ForEachSpan(*step.pattern, text, scratch, [&](const Span& span) {
      if (!removes || span.match == step.invert) emit_span(span);
    });
    return;
  }
  std::vector<Span> spans;
  ForEachSpan(*step.pattern, text, scratch, [&](Span span) {
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
  if (!step.pattern) return RunFrom(index + 1, word, is_start, scratch, emit);
  SplitWord(step, word, scratch, [&](std::string_view part) {
    RunFrom(index + 1, part, is_start && part.data() == word.data(), scratch, emit);
  });
}

}  // namespace sq
