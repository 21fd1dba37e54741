#include "sq/eval/perplexity.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

class PerplexityGolden : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, PerplexityGolden, ::testing::ValuesIn(test::kGoldenModels));

TEST_P(PerplexityGolden, LogitsAndLossesAreThoseOfTransformers) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  const at::Tensor expected_losses = golden.Floats("losses");
  int64_t seen = 0;
  const WindowLosses losses =
      EvaluateWindows(model, golden.Sequences(), {}, [&](int64_t window, const at::Tensor& logits) {
        EXPECT_EQ(window, seen++);
        const at::Tensor expected = golden.Floats("logits." + std::to_string(window));
        ASSERT_EQ(logits.sizes(), expected.sizes());
        // The goldens are of float64; fp32 in transformers differs by 1.3e-5 itself.
        EXPECT_LT((logits - expected).abs().max().item<float>(), 4e-5f) << "window " << window;
      });
  ASSERT_EQ(seen, 3);
  for (int64_t s = 0; s < 3; ++s) {
    EXPECT_NEAR(losses.nll[s], expected_losses[s].item<double>(), 5e-6);
  }
  EXPECT_THAT(losses.tokens, ::testing::ElementsAre(47, 30, 15));
  const double mean = expected_losses.mean().item<double>();
  EXPECT_NEAR(Perplexity(losses), std::exp(mean), 1e-5 * std::exp(mean));
}

TEST(PerplexityTest, IsTheSameForAnyThreadsAndWithActivationsInAFile) {
  const test::GoldenModel golden("llama3-rope-bf16");
  const Model model = OpenModel(golden.folder);
  PerplexityOptions spilled;
  spilled.activations = {1, SQ_TEST_SCRATCH};
  SetThreadCount(1);
  const WindowLosses one = EvaluateWindows(model, golden.Sequences(), {});
  SetThreadCount(3);
  const WindowLosses three = EvaluateWindows(model, golden.Sequences(), spilled);
  SetThreadCount(0);
  EXPECT_EQ(one.nll, three.nll);
}

TEST(PerplexityTest, RefusesWindowsWithNothingToPredict) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  EXPECT_THROW(EvaluateWindows(model, {}, {}), Error);
  EXPECT_THROW(EvaluateWindows(model, {{1, 2}, {3}}, {}), Error);
  EXPECT_THROW(EvaluateWindows(model, {{1, 1 << 20}}, {}), Error);
  EXPECT_THROW(EvaluateWindows(model, {{1, -1}}, {}), Error);
}

}  // namespace
}  // namespace sq
