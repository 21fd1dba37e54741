#include "sq/model/linear.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "sq/base/parallel.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/checkpoint/safetensors.h"
#include "sq/kernels/packed_matmul.h"
#include "tests/support/random_layer.h"

namespace sq {
namespace {

class LinearTokens : public ::testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Tokens, LinearTokens, ::testing::Values(1, 2, 7, 8, 33));

// Both forms of a layer against a product in double.
TEST_P(LinearTokens, DenseAndPackedAgreeWithDouble) {
  const int64_t tokens = GetParam();
  for (const int threads : {1, 3}) {
    SetThreadCount(threads);
    test::RandomLayer random = test::MakeRandomLayer(3, 600, 96, 2, 5);
    random.layer.bias.assign(600, 0.25f);
    Linear dense, packed;
    dense.weight = at::tensor(random.weight).reshape({600, 96});
    dense.bias = at::full({600}, 0.25f);
    packed.packed = std::make_shared<const PackedLayer>(random.layer);
    at::manual_seed(1);
    const at::Tensor x = at::randn({1, tokens, 96});
    const at::Tensor expected =
        at::linear(x.to(at::kDouble), dense.weight.to(at::kDouble), dense.bias.to(at::kDouble));
    const c10::NoGradGuard no_grad;
    for (const Linear* linear : {&dense, &packed}) {
      const at::Tensor y = ApplyLinear(*linear, x);
      ASSERT_EQ(y.sizes(), expected.sizes());
      EXPECT_LT((y - expected).abs().max().item<double>(), 2e-5);
    }
  }
  SetThreadCount(0);
}

TEST(LinearTest, ADenseLayerHasAGradient) {
  Linear linear;
  linear.weight = at::randn({5, 3});
  const at::Tensor x = at::randn({1, 2, 3}).requires_grad_(true);
  ApplyLinear(linear, x).sum().backward();
  EXPECT_TRUE(at::allclose(x.grad(), linear.weight.sum(0).expand({1, 2, 3})));
}

TEST(LinearTest, LoadsWhatTheStoreHolds) {
  const test::RandomLayer random = test::MakeRandomLayer(4, 8, 32, 1, 2);
  const std::vector<float> dense(8 * 32, 0.5f), bias(8, 1.5f);
  std::vector<TensorView> tensors = PackedTensors(random.layer, "m.packed");
  tensors.push_back({"m.dense.weight", DType::kF32, {8, 32}, dense.data(), 8 * 32 * 4});
  tensors.push_back({"m.dense.bias", DType::kF32, {8}, bias.data(), 8 * 4});
  const std::string path = std::string(SQ_TEST_SCRATCH) + "/linear.safetensors";
  WriteSafetensors(path, tensors, {});
  const TensorStore store = TensorStore::Open(path);
  const Linear packed = LoadLinear(store, {Projection::kQuery, "m.packed", 8, 32, false});
  ASSERT_NE(packed.packed, nullptr);
  EXPECT_FALSE(packed.weight.defined());
  EXPECT_EQ(packed.packed->lookup_table, random.layer.lookup_table);
  const Linear plain = LoadLinear(store, {Projection::kQuery, "m.dense", 8, 32, true});
  EXPECT_EQ(plain.packed, nullptr);
  EXPECT_EQ(plain.weight.sum().item<float>(), 8 * 32 * 0.5f);
  EXPECT_EQ(plain.bias.sum().item<float>(), 12.0f);
  EXPECT_THROW(LoadLinear(store, {Projection::kQuery, "m.dense", 8, 64, false}), Error);
  EXPECT_THROW(LoadLinear(store, {Projection::kQuery, "m.none", 8, 32, false}), Error);
}

}  // namespace
}  // namespace sq
