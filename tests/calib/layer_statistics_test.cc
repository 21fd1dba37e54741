#include "sq/calib/layer_statistics.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "sq/base/parallel.h"

namespace sq {
namespace {

std::vector<LinearInfo> Linears() {
  return {{"a", {{LinearRole::kUp, 0, 300}}, 300, 8, false},
          {"b", {{LinearRole::kDown, 0, 5}}, 5, 300, false}};
}

std::vector<LayerSamples> RandomBatches() {
  at::manual_seed(11);
  std::vector<LayerSamples> batches;
  for (const int64_t samples : {1, 3}) {
    batches.push_back({{at::randn({samples, 7, 8}), at::randn({samples, 7, 300})},
                       {at::randn({samples, 7, 300}), at::randn({samples, 7, 5})}});
  }
  return batches;
}

// Per sample the gradient of each weight in double precision, squared and summed over the samples.
TEST(LayerStatisticsTest, SquaresAreThoseOfDoubleLoops) {
  const std::vector<LayerSamples> batches = RandomBatches();
  SquaredGradients squares(Linears(), kCpu);
  squares.Add({batches[0]});
  squares.Add({batches[1]});
  const std::vector<at::Tensor> matrices = squares.TakeMatrices();
  ASSERT_EQ(matrices.size(), 2u);
  for (size_t linear = 0; linear < 2; ++linear) {
    at::Tensor expected = at::zeros(matrices[linear].sizes(), at::kDouble);
    for (const LayerSamples& batch : batches) {
      const at::Tensor x = batch[linear].input.to(at::kDouble);
      const at::Tensor g = batch[linear].output_gradient.to(at::kDouble);
      for (int64_t s = 0; s < x.size(0); ++s) expected += at::mm(g[s].t(), x[s]).square();
    }
    EXPECT_TRUE(at::allclose(matrices[linear].to(at::kDouble), expected, 1e-5, 1e-6));
  }
}

TEST(LayerStatisticsTest, TheSameBitsForAnyThreadsAndGroups) {
  const std::vector<LayerSamples> batches = RandomBatches();
  SetThreadCount(1);
  SquaredGradients one(Linears(), kCpu);
  one.Add(batches);
  SetThreadCount(5);
  SquaredGradients five(Linears(), kCpu);
  for (const LayerSamples& batch : batches) five.Add({batch});
  SetThreadCount(0);
  const auto expected = one.TakeMatrices(), found = five.TakeMatrices();
  for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(at::equal(found[i], expected[i]));
}

}  // namespace
}  // namespace sq
