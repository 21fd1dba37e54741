#include "sq/model/transformer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "tests/support/golden_model.h"

namespace sq {
namespace {

TEST(TransformerTest, LaterTokensDoNotReachEarlierOnes) {
  const test::GoldenModel golden("llama-gqa-tied-fp32");
  const Model model = OpenModel(golden.folder);
  const DecoderLayer layer = LoadDecoderLayer(model, 0, DenseWeights::kFloat, kCpu);
  const c10::NoGradGuard no_grad;
  at::manual_seed(3);
  const at::Tensor hidden = at::randn({1, 12, model.config.hidden_size});
  at::Tensor changed = hidden.clone();
  changed.select(1, 7).add_(1);
  const RopeTable rope = MakeRopeTable(model.config, 0, 12, 12, kCpu);
  const at::Tensor a = DecoderForward(model.config, layer, hidden, rope);
  const at::Tensor b = DecoderForward(model.config, layer, changed, rope);
  EXPECT_TRUE(at::equal(a.narrow(1, 0, 7), b.narrow(1, 0, 7)));
  EXPECT_FALSE(at::allclose(a.narrow(1, 7, 5), b.narrow(1, 7, 5)));
}

}  // namespace
}  // namespace sq
