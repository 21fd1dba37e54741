#include "sq/text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace sq {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Words(std::vector<SplitStep> steps, const std::string& text) {
  Regex::Scratch scratch;
  std::vector<std::string> words;
  PreTokenizer(std::move(steps)).Split(text, &scratch, [&](std::string_view word) {
    words.emplace_back(word);
  });
  return words;
}

std::vector<SplitStep> Step(const std::string& pattern, SplitBehavior behavior, bool invert = false,
                            bool add_prefix_space = false) {
  std::vector<SplitStep> steps;
  steps.push_back({Regex(pattern, "test"), behavior, invert, add_prefix_space});
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

TEST(PreTokenizer, WithoutStepsATextIsAWord) { EXPECT_THAT(Words({}, "a b"), ElementsAre("a b")); }

}  // namespace
}  // namespace sq
