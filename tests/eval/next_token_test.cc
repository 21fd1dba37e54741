// Shared prefixes and padding against what transformers computes for whole sequences.
#include "sq/eval/next_token.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "sq/base/parallel.h"
#include "sq/eval/perplexity.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

const std::vector<int32_t> kCandidates = {3, 127, 0, 64};

std::vector<int32_t> First(const std::vector<int32_t>& ids, int64_t count) {
  return {ids.begin(), ids.begin() + count};
}

// Beginnings of the golden sequences. The first group shares 19 tokens; in the second a prompt is
// the beginning of another, so that all but its last token is shared; the third is a single prompt.
std::vector<Prompts> Groups(const std::vector<std::vector<int32_t>>& ids) {
  return {{First(ids[0], 48), First(ids[0], 20), First(ids[0], 33), First(ids[0], 21)},
          {First(ids[1], 31), First(ids[1], 2)},
          {ids[2]}};
}

class NextTokenGolden : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, NextTokenGolden, ::testing::ValuesIn(test::kGoldenModels));

TEST_P(NextTokenGolden, LogitsAreThoseOfWholePrompts) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  const std::vector<Prompts> groups = Groups(golden.Sequences());
  const auto logits = NextTokenLogits(model, groups, kCandidates, {});
  ASSERT_EQ(logits.size(), groups.size());
  for (size_t g = 0; g < groups.size(); ++g) {
    const at::Tensor expected = golden.Floats("logits." + std::to_string(g));
    ASSERT_EQ(logits[g].size(0), static_cast<int64_t>(groups[g].size()));
    for (size_t p = 0; p < groups[g].size(); ++p) {
      const at::Tensor last = expected[static_cast<int64_t>(groups[g][p].size()) - 1];
      for (size_t c = 0; c < kCandidates.size(); ++c) {
        EXPECT_NEAR(logits[g][static_cast<int64_t>(p)][static_cast<int64_t>(c)].item<float>(),
                    last[kCandidates[c]].item<float>(), 4e-5f)
            << "group " << g << ", prompt " << p;
      }
    }
  }
}

TEST_P(NextTokenGolden, ADeviceGivesTheSame) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  const std::vector<Prompts> groups = Groups(golden.Sequences());
  const auto expected = NextTokenLogits(model, groups, kCandidates, {});
  NextTokenOptions options;
  options.device = ChooseDevice("cuda");
  for (const int64_t max_bytes : {0, 1}) {
    options.max_bytes = max_bytes;
    const auto found = NextTokenLogits(model, groups, kCandidates, options);
    for (size_t g = 0; g < groups.size(); ++g) {
      EXPECT_LT((found[g] - expected[g]).abs().max().item<float>(), 2e-5f) << "group " << g;
    }
  }
  options.bfloat16 = true;
  const auto rounded = NextTokenLogits(model, groups, kCandidates, options);
  EXPECT_FALSE(at::equal(rounded[0], expected[0]));
  EXPECT_LT((rounded[0] - expected[0]).abs().max().item<float>(), 0.1f);
}

class NextTokenLengths : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, NextTokenLengths, ::testing::ValuesIn(test::kLengthModels));

// Keys of a common beginning turn by the length of each prompt, up to 14 tokens alike.
TEST_P(NextTokenLengths, LogitsAreThoseOfWholePrompts) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  const auto ids = golden.Sequences();
  const std::vector<Prompts> groups = {
      {ids[0], First(ids[0], 20), First(ids[0], 33), First(ids[0], 13), First(ids[0], 20)},
      {First(ids[1], 14), First(ids[1], 11), First(ids[1], 9)},
      {First(ids[1], 15), First(ids[1], 31)},
      {ids[2]}};
  const auto logits = NextTokenLogits(model, groups, kCandidates, {});
  for (size_t g = 0; g < groups.size(); ++g) {
    EvaluateWindows(model, groups[g], {}, [&](int64_t p, const at::Tensor& whole) {
      for (size_t c = 0; c < kCandidates.size(); ++c) {
        EXPECT_NEAR(logits[g][p][static_cast<int64_t>(c)].item<float>(),
                    whole[whole.size(0) - 1][kCandidates[c]].item<float>(), 4e-5f)
            << "group " << g << ", prompt " << p;
      }
    });
  }
}

// Prompts that share nothing, and prompts that are alike.
TEST(NextTokenTest, NothingOrAllButOneTokenMayBeShared) {
  const test::GoldenModel golden("llama-mha-fp16");
  const Model model = OpenModel(golden.folder);
  const auto ids = golden.Sequences();
  ASSERT_NE(ids[0][0], ids[1][0]);
  const auto apart = NextTokenLogits(model, {{ids[0], ids[1]}}, kCandidates, {});
  const auto same = NextTokenLogits(model, {{ids[1], ids[1]}}, kCandidates, {});
  const at::Tensor expected = golden.Floats("logits.1")[30];
  for (size_t c = 0; c < kCandidates.size(); ++c) {
    const auto column = static_cast<int64_t>(c);
    const float value = expected[kCandidates[c]].item<float>();
    EXPECT_NEAR(apart[0][1][column].item<float>(), value, 4e-5f);
    EXPECT_NEAR(same[0][0][column].item<float>(), value, 4e-5f);
    EXPECT_NEAR(same[0][1][column].item<float>(), value, 4e-5f);
  }
}

TEST(NextTokenTest, IsTheSameForAnyThreadsAndMemory) {
  const test::GoldenModel golden("qwen2-tied-bf16");
  const Model model = OpenModel(golden.folder);
  // More than one batch to a group: 64 prompts of 29 to 44 tokens of their own.
  std::vector<Prompts> groups = Groups(golden.Sequences());
  groups.emplace_back();
  for (int32_t i = 0; i < 64; ++i) {
    groups.back().push_back(golden.Sequences()[0]);
    groups.back().back().resize(static_cast<size_t>(30 + i % 16));
    groups.back().back()[1] = i;
  }
  int64_t layers_in_all = 0;
  NextTokenOptions options;
  options.progress = [&](int64_t, int64_t layers) { layers_in_all = layers; };
  SetThreadCount(1);
  const auto one = NextTokenLogits(model, groups, kCandidates, options);
  const int64_t layers_once = layers_in_all;
  EXPECT_EQ(layers_once, model.config.num_layers);
  SetThreadCount(3);
  options.max_bytes = 1;
  const auto three = NextTokenLogits(model, groups, kCandidates, options);
  SetThreadCount(0);
  EXPECT_GE(layers_in_all, 5 * layers_once);  // a run for each batch
  for (size_t g = 0; g < groups.size(); ++g) EXPECT_TRUE(at::equal(one[g], three[g])) << g;
}

TEST(NextTokenTest, RefusesIdsOutsideTheVocabulary) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  EXPECT_THAT(test::MessageOf([&] {
                NextTokenLogits(model, {{{1, 2}}}, {128}, {});
              }),
              HasSubstr("token id 128 outside the vocabulary of 128"));
  EXPECT_THAT(test::MessageOf([&] {
                NextTokenLogits(model, {{{1, 500}, {1, 2}}}, {0}, {});
              }),
              HasSubstr("token id 500 outside the vocabulary of 128"));
}

}  // namespace
}  // namespace sq
