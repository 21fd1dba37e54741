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

LinearInfo Info(const std::string& name, int64_t out, int64_t in, bool bias) {
  return {name, {{LinearRole::kQuery, 0, out}}, out, in, bias};
}

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
    packed.weight = CpuLayer(random.layer);
    at::manual_seed(1);
    const at::Tensor x = at::randn({1, tokens, 96});
    const at::Tensor expected =
        at::linear(x.to(at::kDouble), dense.dense().to(at::kDouble), dense.bias.to(at::kDouble));
    const c10::NoGradGuard no_grad;
    for (const Linear* linear : {&dense, &packed}) {
      const at::Tensor y = ApplyLinear(*linear, x);
      ASSERT_EQ(y.sizes(), expected.sizes());
      EXPECT_LT((y - expected).abs().max().item<double>(), 2e-5);
    }
  }
  SetThreadCount(0);
}

// A weight left in its file, of each type, gives what the same weight in memory gives.
TEST(LinearTest, StoredWeightsAreConvertedAsTheyAreUsed) {
  at::manual_seed(2);
  const at::Tensor weight = at::randn({300, 40});
  for (const at::ScalarType type : {at::kFloat, at::kHalf, at::kBFloat16}) {
    const at::Tensor typed = weight.to(type);
    const DType dtype = type == at::kFloat  ? DType::kF32
                        : type == at::kHalf ? DType::kF16
                                            : DType::kBF16;
    const std::string path = std::string(SQ_TEST_SCRATCH) + "/stored.safetensors";
    const int64_t bytes = static_cast<int64_t>(typed.nbytes());
    WriteSafetensors(path, {{"m.weight", dtype, {300, 40}, typed.const_data_ptr(), bytes}}, {});
    const TensorStore store = TensorStore::Open(path);
    const LinearInfo info = Info("m", 300, 40, false);
    const Linear stored = LoadLinear(store, info, DenseWeights::kStored, kCpu);
    EXPECT_TRUE(std::holds_alternative<FileTensor>(stored.weight));
    const c10::NoGradGuard no_grad;
    for (const int64_t tokens : {1, 9, 100}) {
      const at::Tensor x = at::randn({2, tokens, 40});
      const at::Tensor expected = at::linear(x, typed.to(at::kFloat));
      EXPECT_TRUE(at::allclose(ApplyLinear(stored, x), expected, 1e-5, 1e-5));
    }
  }
}

// A layer of the store on a device: packed by its own kernels, which round x and the table to fp16
// (2^-12 each, as cuda_matmul.h says); dense in the type that is asked for, with fp32 sums.
TEST(LinearTest, OnADeviceAgreesWithDouble) {
  const Device device = ChooseDevice("cuda");
  const c10::NoGradGuard no_grad;
  at::manual_seed(3);
  for (const int64_t out : {64, 70}) {  // the second one's rows begin at no multiple of 16 bytes
    test::RandomLayer random = test::MakeRandomLayer(4, out, 96, 2, 5);
    random.layer.bias.assign(static_cast<size_t>(out), 0.25f);
    const at::Tensor bias = at::full({out}, 0.25f);
    std::vector<TensorView> tensors = PackedTensors(random.layer, "m.packed");
    tensors.push_back(
        {"m.dense.weight", DType::kF32, {out, 96}, random.weight.data(), out * 96 * 4});
    tensors.push_back({"m.dense.bias", DType::kF32, {out}, bias.const_data_ptr(), out * 4});
    const std::string path = std::string(SQ_TEST_SCRATCH) + "/linear-device.safetensors";
    WriteSafetensors(path, tensors, {});
    const TensorStore store = TensorStore::Open(path);
    const Linear packed =
        LoadLinear(store, Info("m.packed", out, 96, true), DenseWeights::kFloat, device);
    EXPECT_TRUE(std::holds_alternative<OnCuda>(packed.weight));
    const at::Tensor x = at::randn({2, 9, 96});
    const at::Tensor weight = at::tensor(random.weight).reshape({out, 96});
    const auto error = [&](const Linear& linear, const at::Tensor& x, const at::Tensor& weight) {
      const at::Tensor y = ApplyLinear(linear, x).to(at::kDouble);
      const at::Tensor expected =
          at::linear(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble));
      EXPECT_EQ(y.sizes(), expected.sizes());
      return ((y - expected).norm() / expected.norm()).item<double>();
    };
    EXPECT_LT(error(packed, x, weight), 5e-4);
    for (const DenseWeights dense :
         {DenseWeights::kFloat, DenseWeights::kStored, DenseWeights::kBFloat16}) {
      const Linear linear = LoadLinear(store, Info("m.dense", out, 96, true), dense, device);
      const bool rounded = dense == DenseWeights::kBFloat16;
      EXPECT_EQ(linear.dense().scalar_type(), rounded ? at::kBFloat16 : at::kFloat);
      const auto round = [&](const at::Tensor& t) { return rounded ? t.to(at::kBFloat16) : t; };
      EXPECT_LT(error(linear, x, round(weight)), rounded ? 3e-3 : 1e-6);
      EXPECT_LT(error(linear, round(x).to(at::kFloat), round(weight)), 1e-6);  // the sums are fp32
    }
  }
}

TEST(LinearTest, AGradientThroughBfloat16WeightsHasFloatSums) {
  at::manual_seed(4);
  Linear linear;
  linear.weight = at::randn({70, 96}).to(at::kBFloat16);
  const at::Tensor gradient = at::randn({2, 5, 70});
  const at::Tensor x = at::randn({2, 5, 96}).requires_grad_(true);
  ApplyLinear(linear, x).backward(gradient);
  const at::Tensor expected =
      at::matmul(gradient.to(at::kBFloat16).to(at::kDouble), linear.dense().to(at::kDouble));
  EXPECT_LT(((x.grad() - expected).norm() / expected.norm()).item<double>(), 1e-6);
}

TEST(LinearTest, AProductOfSixteenBitsHasFloatSums) {
  at::manual_seed(5);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kHalf}) {
    const at::Tensor a = at::randn({9, 300}).to(type), b = at::randn({7, 300}).to(type).t();
    const at::Tensor found = FloatProduct(a, b);
    EXPECT_EQ(found.scalar_type(), at::kFloat);
    EXPECT_LT((found - at::mm(a.to(at::kDouble), b.to(at::kDouble))).abs().max().item<double>(),
              1e-4);
  }
}

TEST(LinearTest, ADenseLayerHasAGradient) {
  Linear linear;
  linear.weight = at::randn({5, 3});
  const at::Tensor x = at::randn({1, 2, 3}).requires_grad_(true);
  ApplyLinear(linear, x).sum().backward();
  EXPECT_TRUE(at::allclose(x.grad(), linear.dense().sum(0).expand({1, 2, 3})));
}

TEST(LinearTest, LoadsWhatTheStoreHolds) {
  const test::RandomLayer random = test::MakeRandomLayer(4, 8, 32, 1, 2);
  const std::vector<float> dense(8 * 32, 0.5f), bias(8, 1.5f);
  std::vector<TensorView> tensors = PackedTensors(random.layer, "m.packed");
  tensors.push_back({"m.dense.weight", DType::kF32, {8, 32}, dense.data(), 8 * 32 * 4});
  tensors.push_back({"m.dense.bias", DType::kF32, {8}, bias.data(), 8 * 4});
  const std::vector<int32_t> whole(8 * 32);
  tensors.push_back({"m.whole.weight", DType::kI32, {8, 32}, whole.data(), 8 * 32 * 4});
  const std::string path = std::string(SQ_TEST_SCRATCH) + "/linear.safetensors";
  WriteSafetensors(path, tensors, {});
  const TensorStore store = TensorStore::Open(path);
  const Linear packed =
      LoadLinear(store, Info("m.packed", 8, 32, false), DenseWeights::kFloat, kCpu);
  ASSERT_TRUE(std::holds_alternative<CpuLayer>(packed.weight));
  const PackedView& view = std::get<CpuLayer>(packed.weight).view();
  EXPECT_EQ(std::vector<float>(view.lookup_table, view.lookup_table + (8 << 4)),
            random.layer.lookup_table);
  const Linear plain = LoadLinear(store, Info("m.dense", 8, 32, true), DenseWeights::kFloat, kCpu);
  EXPECT_EQ(plain.dense().sum().item<float>(), 8 * 32 * 0.5f);
  EXPECT_EQ(plain.bias.sum().item<float>(), 12.0f);
  for (const DenseWeights dense : {DenseWeights::kFloat, DenseWeights::kStored}) {
    const auto load = [&](const char* name, int64_t in) {
      LoadLinear(store, Info(name, 8, in, false), dense, kCpu);
    };
    EXPECT_THROW(load("m.dense", 64), Error);
    EXPECT_THROW(load("m.none", 32), Error);
    EXPECT_THROW(load("m.whole", 32), Error);
  }
}

}  // namespace
}  // namespace sq
