#include "sq/text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sq {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Words(std::vector<SplitStep> steps, const std::string& text,
                               bool is_start = true) {
  Regex::Scratch scratch;
  std::vector<std::string> words;
  PreTokenizer(std::move(steps)).Split(text, is_start, &scratch, [&](std::string_view word) {
    words.emplace_back(word);
  });
  return words;
}

std::vector<SplitStep> Step(const std::string& pattern, SplitBehavior behavior, bool invert = false,
                            bool add_prefix_space = false) {
  std::vector<SplitStep> steps(1);
  steps[0].pattern.emplace(pattern, "test");
  steps[0].behavior = behavior;
  steps[0].invert = invert;
  steps[0].add_prefix_space = add_prefix_space;
  return steps;
}

TEST(PreTokenizer, BehaviorsOfSplit) {
  const std::string text = "-a--b-";
  EXPECT_THAT(Words(Step("-", SplitBehavior::kRemoved), text), ElementsAre("a", "b"));
  EXPECT_THAT(Words(Step("-", SplitBehavior::kIsolated), text),
              ElementsAre("-", "a", "-", "-", "b", "-"));
  EXPECT_THAT(Words(Step("-", SplitBehavior::kMergedWithPrevious), text),
              ElementsAre("-", "a-", "-", "b-"));
  EXPECT_THAT(Words(Step("-", SplitBehavior::kMergedWithNext), text),
              ElementsAre("-a", "-", "-b", "-"));
  EXPECT_THAT(Words(Step("-", SplitBehavior::kContiguous), text),
              ElementsAre("-", "a", "--", "b", "-"));
  EXPECT_THAT(Words(Step("-", SplitBehavior::kRemoved, true), text),
              ElementsAre("-", "-", "-", "-"));
}

TEST(PreTokenizer, EmptyMatchesDivide) {
  EXPECT_THAT(Words(Step("(?=[A-Z])", SplitBehavior::kIsolated), "aBcDE"),
              ElementsAre("a", "Bc", "D", "E"));
  EXPECT_THAT(Words(Step("x*", SplitBehavior::kIsolated), "a\u00e9xb"),
              ElementsAre("a", "\u00e9", "x", "b"));
}

TEST(PreTokenizer, AddsOneSpaceInFront) {
  EXPECT_THAT(Words(Step("\\s", SplitBehavior::kIsolated, false, true), "a b"),
              ElementsAre(" ", "a", " ", "b"));
  EXPECT_THAT(Words(Step("\\s", SplitBehavior::kIsolated, false, true), " a"),
              ElementsAre(" ", "a"));
  EXPECT_THAT(Words(Step("\\s", SplitBehavior::kIsolated, false, true), ""), ElementsAre());
  std::vector<SplitStep> steps = Step(",", SplitBehavior::kRemoved);
  steps.emplace_back().add_prefix_space = true;
  EXPECT_THAT(Words(std::move(steps), "a,b, c"), ElementsAre(" a", " b", " c"));
}

TEST(PreTokenizer, SymbolsTakeThePlaceOfSpaces) {
  const auto steps = [](bool only_first) {
    std::vector<SplitStep> steps = Step("_", SplitBehavior::kMergedWithNext, false, true);
    steps[0].space_symbol = "_";
    steps[0].only_first = only_first;
    return steps;
  };
  EXPECT_THAT(Words(steps(false), "a b  c"), ElementsAre("_a", "_b", "_", "_c"));
  EXPECT_THAT(Words(steps(false), " a"), ElementsAre("_a"));
  EXPECT_THAT(Words(steps(false), "_a"), ElementsAre("_a"));
  EXPECT_THAT(Words(steps(false), "a", /*is_start=*/false), ElementsAre("_a"));
  EXPECT_THAT(Words(steps(true), "a b"), ElementsAre("_a", "_b"));
  EXPECT_THAT(Words(steps(true), "a b", /*is_start=*/false), ElementsAre("a", "_b"));
  // Only the first word that a step before gives stands at the start.
  std::vector<SplitStep> both = Step("-", SplitBehavior::kRemoved);
  both.push_back(std::move(steps(true)[0]));
  EXPECT_THAT(Words(std::move(both), "a-b"), ElementsAre("_a", "b"));
}

TEST(PreTokenizer, StepsBehindBytesActOnTheirCharacters) {
  std::vector<SplitStep> steps = Step("\\s", SplitBehavior::kIsolated, false, true);
  steps[0].spell_bytes = true;
  // U+6F22 is e6 bc a2, and U+00BC a number.
  steps.push_back(std::move(Step("\\p{N}", SplitBehavior::kIsolated)[0]));
  EXPECT_THAT(Words(std::move(steps), "\u6f22 1"),
              ElementsAre("\u0120", "\u00e6", "\u00bc", "\u00a2", "\u0120", "1"));
}

TEST(PreTokenizer, WithoutStepsATextIsAWord) { EXPECT_THAT(Words({}, "a b"), ElementsAre("a b")); }

}  // namespace
}  // namespace sq
