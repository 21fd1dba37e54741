#include "sq/calib/fisher.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

using LayerFisher = std::vector<at::Tensor>;

// Differentiates the next layer.
LayerFisher BackwardFisher(const Model& model, FisherPass& pass, int64_t layer) {
  SquaredGradients squares(LayerLinears(model.config, layer), pass.device());
  pass.Backward(layer, &squares);
  return squares.TakeMatrices();
}

std::vector<LayerFisher> AllLayers(const Model& model, FisherPass& pass) {
  std::vector<LayerFisher> layers(static_cast<size_t>(model.config.num_layers));
  pass.Forward(model.config.num_layers);
  pass.Loss();
  for (int64_t layer = model.config.num_layers - 1; layer >= 0; --layer) {
    layers[static_cast<size_t>(layer)] = BackwardFisher(model, pass, layer);
  }
  return layers;
}

class FisherGolden : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, FisherGolden, ::testing::ValuesIn(test::AllGoldenModels()));

TEST_P(FisherGolden, SquaredGradientsAreThoseOfTransformers) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  FisherPass pass(model, golden.Sequences(), {});
  const std::vector<LayerFisher> layers = AllLayers(model, pass);
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
    const std::vector<LinearInfo> linears = LayerLinears(model.config, layer);
    for (size_t i = 0; i < linears.size(); ++i) {
      const LinearInfo& linear = linears[i];
      const at::Tensor expected = golden.Floats("fisher." + linear.WeightName());
      const at::Tensor& found = layers[layer][i];
      ASSERT_EQ(found.sizes(), expected.sizes());
      const at::Tensor error = (found - expected).abs();
      EXPECT_LT((error.max() / expected.max()).item<float>(), 1e-5f) << linear.name;
      // Each entry by itself, but for those so small that their gradients cancel.
      const at::Tensor counts = expected > 1e-4f * expected.max();
      const at::Tensor relative = (error / expected).masked_select(counts);
      EXPECT_LT(relative.max().item<float>(), 1e-3f) << linear.name;
      EXPECT_LT((error.sum() / expected.sum()).item<float>(), 1e-4f) << linear.name;
    }
  }
}

// Samples of one length go together; what is kept lies in the device's memory or, with one byte
// allowed there, in the host's.
TEST_P(FisherGolden, ADeviceGivesTheSame) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  std::vector<std::vector<int32_t>> samples = golden.Sequences();
  for (int repeat = 0; repeat < 3; ++repeat) {
    samples.push_back(samples[2]);
    samples.back()[0] = repeat;
  }
  FisherPass on_cpu(model, samples, {});
  const std::vector<LayerFisher> expected = AllLayers(model, on_cpu);
  FisherOptions options;
  options.device = ChooseDevice("cuda");
  FisherPass on_device(model, samples, options);
  const std::vector<LayerFisher> found = AllLayers(model, on_device);
  options.activations = {1, SQ_TEST_SCRATCH, 1};
  FisherPass spilled(model, samples, options);
  const std::vector<LayerFisher> again = AllLayers(model, spilled);
  options.bfloat16 = true;
  FisherPass rounded(model, samples, options);
  const std::vector<LayerFisher> coarse = AllLayers(model, rounded);
  for (size_t layer = 0; layer < expected.size(); ++layer) {
    for (size_t p = 0; p < expected[layer].size(); ++p) {
      const at::Tensor sum = expected[layer][p].sum();
      const auto error = [&](const at::Tensor& other) {
        return ((other - expected[layer][p]).abs().sum() / sum).item<float>();
      };
      EXPECT_LT(error(found[layer][p]), 1e-4f);
      EXPECT_TRUE(at::equal(again[layer][p], found[layer][p]));
      EXPECT_GT(error(coarse[layer][p]), 0);
      EXPECT_LT(error(coarse[layer][p]), 0.1f);
    }
  }
}

TEST(FisherTest, OnADeviceGoesOnFromASavedGradientWithTheSameBits) {
  const test::GoldenModel golden("llama-mha-fp16");
  const Model model = OpenModel(golden.folder);
  const int64_t layers = model.config.num_layers;
  FisherOptions options;
  options.device = ChooseDevice("cuda");
  options.bfloat16 = true;
  FisherPass whole(model, golden.Sequences(), options);
  whole.Forward(layers);
  whole.Loss();
  whole.Backward(layers - 1, nullptr);
  const at::Tensor gradient = whole.gradient().clone();
  const LayerFisher expected = BackwardFisher(model, whole, layers - 2);
  FisherPass resumed(model, golden.Sequences(), options);
  resumed.Forward(layers - 1);
  resumed.set_gradient(gradient);
  const LayerFisher found = BackwardFisher(model, resumed, layers - 2);
  for (size_t p = 0; p < expected.size(); ++p) EXPECT_TRUE(at::equal(found[p], expected[p]));
}

TEST(FisherTest, LossIsTheMeanOverSamples) {
  const test::GoldenModel golden("llama-gqa-tied-fp32");
  const Model model = OpenModel(golden.folder);
  FisherPass pass(model, golden.Sequences(), {});
  pass.Forward(model.config.num_layers);
  EXPECT_NEAR(pass.Loss(), golden.Floats("losses").mean().item<double>(), 5e-6);
}

TEST(FisherTest, IsTheSameForAnyThreadsAndWithActivationsInAFile) {
  const test::GoldenModel golden("llama3-rope-bf16");
  const Model model = OpenModel(golden.folder);
  // More samples than are held together, so that groups differ with the number of threads.
  std::vector<std::vector<int32_t>> samples;
  for (int repeat = 0; repeat < 4; ++repeat) {
    for (const auto& sequence : golden.Sequences()) samples.push_back(sequence);
  }
  FisherOptions spilled;
  spilled.activations = {1, SQ_TEST_SCRATCH};
  SetThreadCount(1);
  FisherPass first(model, samples, {});
  const std::vector<LayerFisher> one = AllLayers(model, first);
  SetThreadCount(5);
  FisherPass second(model, samples, spilled);
  const std::vector<LayerFisher> five = AllLayers(model, second);
  SetThreadCount(0);
  for (size_t layer = 0; layer < one.size(); ++layer) {
    for (size_t p = 0; p < one[layer].size(); ++p)
      EXPECT_TRUE(at::equal(one[layer][p], five[layer][p]));
  }
}

TEST(FisherTest, GoesOnFromASavedGradientWithTheSameBits) {
  const test::GoldenModel golden("llama-mha-fp16");
  const Model model = OpenModel(golden.folder);
  const int64_t layers = model.config.num_layers;
  FisherPass whole(model, golden.Sequences(), {});
  const std::vector<LayerFisher> expected = AllLayers(model, whole);

  FisherPass interrupted(model, golden.Sequences(), {});
  interrupted.Forward(layers);
  interrupted.Loss();
  interrupted.Backward(layers - 1, nullptr);
  const at::Tensor gradient = interrupted.gradient().clone();

  FisherPass resumed(model, golden.Sequences(), {});
  resumed.Forward(layers - 1);
  resumed.set_gradient(gradient);
  const LayerFisher fisher = BackwardFisher(model, resumed, layers - 2);
  for (size_t p = 0; p < fisher.size(); ++p) {
    EXPECT_TRUE(at::equal(fisher[p], expected[static_cast<size_t>(layers - 2)][p]));
  }
}

TEST(FisherTest, Bfloat16ProductsComeClose) {
  const test::GoldenModel golden("llama-head-dim-fp16");
  const Model model = OpenModel(golden.folder);
  FisherPass exact(model, golden.Sequences(), {});
  FisherOptions options;
  options.bfloat16 = true;
  FisherPass rounded(model, golden.Sequences(), options);
  const std::vector<LayerFisher> expected = AllLayers(model, exact);
  const std::vector<LayerFisher> found = AllLayers(model, rounded);
  for (size_t layer = 0; layer < expected.size(); ++layer) {
    for (size_t p = 0; p < expected[layer].size(); ++p) {
      const at::Tensor error = (found[layer][p] - expected[layer][p]).abs().sum();
      // 2^-8 of rounding in each factor, squared: a few percent where layers add up.
      EXPECT_LT((error / expected[layer][p].sum()).item<float>(), 0.1f);
    }
  }
}

TEST(FisherTest, RefusesSamplesWithoutAPrediction) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  EXPECT_THROW(FisherPass(model, {}, {}), Error);
  EXPECT_THROW(FisherPass(model, {{1, 2}, {1}}, {}), Error);
}

}  // namespace
}  // namespace sq
