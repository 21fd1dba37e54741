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
INSTANTIATE_TEST_SUITE_P(Models, PerplexityGolden, ::testing::ValuesIn(test::AllGoldenModels()));

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
  for (size_t s = 0; s < 3; ++s) {
    EXPECT_EQ(losses.tokens[s] + 1, static_cast<int64_t>(golden.Sequences()[s].size()));
  }
  const double mean = expected_losses.mean().item<double>();
  EXPECT_NEAR(Perplexity(losses), std::exp(mean), 1e-5 * std::exp(mean));
}

// On a device windows of one length go together: here those of 31 tokens.
TEST_P(PerplexityGolden, ADeviceGivesTheSame) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  std::vector<std::vector<int32_t>> windows = golden.Sequences();
  windows.push_back(windows[1]);
  std::reverse(windows[3].begin(), windows[3].end());
  windows.insert(windows.begin(), windows[1]);
  std::swap(windows[1], windows[2]);
  std::vector<at::Tensor> expected, found;
  const WindowLosses on_cpu = EvaluateWindows(
      model, windows, {}, [&](int64_t, const at::Tensor& logits) { expected.push_back(logits); });
  PerplexityOptions options;
  options.device = ChooseDevice("cuda");
  const WindowLosses on_device =
      EvaluateWindows(model, windows, options, [&](int64_t window, const at::Tensor& logits) {
        EXPECT_EQ(window, static_cast<int64_t>(found.size()));
        found.push_back(logits);
      });
  EXPECT_EQ(on_cpu.tokens, on_device.tokens);
  ASSERT_EQ(found.size(), windows.size());
  for (size_t w = 0; w < windows.size(); ++w) {
    EXPECT_NEAR(on_cpu.nll[w], on_device.nll[w], 1e-5);
    EXPECT_LT((expected[w] - found[w]).abs().max().item<float>(), 4e-5f) << "window " << w;
  }
  // Activations that do not fit there lie in the host's memory, or in a file.
  options.activations = {1, SQ_TEST_SCRATCH, 1};
  EXPECT_EQ(EvaluateWindows(model, windows, options).nll, on_device.nll);
  options.bfloat16 = true;
  EXPECT_NEAR(Perplexity(EvaluateWindows(model, windows, options)), Perplexity(on_cpu),
              0.01 * Perplexity(on_cpu));
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
