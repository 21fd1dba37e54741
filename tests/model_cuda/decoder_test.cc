// Decoding by the CUDA kernels, run on the host, beside decoding by LibTorch on the CPU.
#include "sq/model/decoder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/support/golden_model.h"

namespace sq {
namespace {

constexpr Device kEmulated{true, 0, true};

class CudaDecoderGolden : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, CudaDecoderGolden, ::testing::ValuesIn(test::kGoldenModels));

TEST_P(CudaDecoderGolden, TmpAgrees) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  const std::vector<int32_t> ids = golden.Ids("tokens.2");
  const at::Tensor expected = golden.Floats("logits.2");
  Decoder decoder(LoadModel(model, kEmulated), 2, static_cast<int64_t>(ids.size()));
  double worst = 0;
  for (size_t t = 0; t < ids.size(); ++t) {
    const at::Tensor logits = decoder.Step({{ids[t]}, {ids[t == 0 ? 0 : t - 1]}});
    worst = std::max(worst, (logits[0] - expected[t]).abs().max().item<double>());
  }
  std::printf("%s: %zu tokens, worst %g, norm %g max %g\n", GetParam(), ids.size(), worst,
              expected.square().mean().sqrt().item<double>(), expected.abs().max().item<double>());
  EXPECT_EQ(GenerateGreedy(LoadModel(model, kEmulated), golden.Ids("prompt"), 12),
            golden.Ids("continuation"));
}

}  // namespace
}  // namespace sq
