#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <tuple>

#include "kernels/cuda/streams.h"
#include "sq/base/half.h"
#include "sq/kernels/cuda_device.h"
#include "sq/kernels/cuda_matmul.h"
#include "tests/support/activation_reference.h"
#include "tests/support/cuda_memory.h"
#include "tests/support/error_message.h"
#include "tests/support/matmul_reference.h"
#include "tests/support/random_layer.h"

namespace sq {
namespace {

using cuda::Buffer;
using test::DeviceMatrix;
using test::kSparse;
using test::MakeWhole;
using test::MessageOf;
using test::RandomValues;
using test::Sparse;

PackedLayer MakeLayer(int bits, int64_t out, int64_t in, Sparse sparse, uint32_t seed) {
  PackedLayer layer = test::MakeSparseLayer(bits, out, in, sparse, seed);
  MakeWhole(&layer.lookup_table);
  MakeWhole(&layer.outliers.vals);
  if (sparse == Sparse::kMany) {
    layer.bias.assign(layer.lookup_table.begin(), layer.lookup_table.begin() + out);
  }
  return layer;
}

void ExpectEqual(const std::vector<float>& found, const std::vector<double>& expected, size_t first,
                 const std::string& what) {
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_EQ(found[i], expected[first + i]) << what << ": element " << i;
  }
}

using Size = std::tuple<int, int64_t, int64_t>;  // bits, out, in
class CudaMatmulSizes : public ::testing::TestWithParam<Size> {};
INSTANTIATE_TEST_SUITE_P(CudaMatmul, CudaMatmulSizes,
                         ::testing::Combine(::testing::Values(2, 3, 4),
                                            ::testing::Values(1, 63, 130),
                                            ::testing::Values(32, 256, 1056)),
                         [](const auto& info) {
                           return std::to_string(std::get<0>(info.param)) + "bit_" +
                                  std::to_string(std::get<1>(info.param)) + "x" +
                                  std::to_string(std::get<2>(info.param));
                         });

TEST_P(CudaMatmulSizes, IsExactOnWholeNumbers) {
  const auto [bits, out, in] = GetParam();
  constexpr int64_t kMaxTokens = 70;
  std::vector<float> x = RandomValues(kMaxTokens * in, 1);
  MakeWhole(&x);
  const CudaContext context(nullptr);
  for (const Sparse sparse : kSparse) {
    const PackedLayer layer = MakeLayer(bits, out, in, sparse, 11);
    const test::MatmulReference reference =
        test::ReferenceMatmul(layer, {x.data(), kMaxTokens, in});
    const CudaLayer on_device({layer});
    for (const int64_t tokens : {1, 2, 3, 5, 8, 9, 16, 17, 33, 70}) {
      const DeviceMatrix given(FloatType::kFloat16, {x.data(), tokens, in});
      const DeviceMatrix y(FloatType::kFloat32, tokens, out);
      CudaPackedMatmul(context, on_device, given.View(), y.View());
      const std::string what = StrCat("outliers ", static_cast<int>(sparse), ", tokens ", tokens);
      ExpectEqual(y.Values(), reference.y, 0, what);
      EXPECT_TRUE(y.Untouched()) << what;
    }
  }
}

// A graph that was captured after Reserve holds addresses of what Reserve made.
TEST(CudaMatmul, FewerTokensNeedNoMoreRoomThanWasReserved) {
  constexpr int64_t kTokens = 70, kOut = 20, kIn = 9024;  // long enough to be divided among blocks
  const PackedLayer layer = MakeLayer(4, kOut, kIn, Sparse::kNone, 3);
  const CudaLayer on_device({layer});
  const CudaContext context(nullptr);
  const DeviceMatrix x(FloatType::kFloat32, kTokens, kIn), y(FloatType::kFloat32, kTokens, kOut);
  ReserveCudaMatmul(context, on_device, kTokens);
  const int64_t reserved = CudaMemoryInUse().used;
  for (const int64_t tokens : {1, 2, 7, 16, 33, 64, 65, 70}) {
    CudaPackedMatmul(context, on_device,
                     {x.View().data, FloatType::kFloat32, tokens, kIn, x.View().stride},
                     {y.View().data, FloatType::kFloat32, tokens, kOut, y.View().stride});
    EXPECT_EQ(CudaMemoryInUse().used, reserved) << tokens;
  }
}

// A graph of one token that is captured before its context grows for more.
TEST(CudaMatmul, GraphsOutliveTheGrowthOfTheirContext) {
  constexpr int64_t kOut = 20, kIn = 9024;  // long enough to be divided among blocks
  std::vector<float> x = RandomValues(kIn, 1);
  MakeWhole(&x);
  const PackedLayer layer = MakeLayer(4, kOut, kIn, Sparse::kOnePerRow, 3);
  const test::MatmulReference reference = test::ReferenceMatmul(layer, {x.data(), 1, kIn});
  const CudaLayer on_device({layer});
  const cuda::Stream stream;
  const CudaContext context(stream.handle);
  const DeviceMatrix given(FloatType::kFloat32, {x.data(), 1, kIn}),
      y(FloatType::kFloat32, 1, kOut), many(FloatType::kFloat32, 70, kIn),
      many_y(FloatType::kFloat32, 70, kOut);
  const auto capture = [&](const DeviceMatrix& in, const DeviceMatrix& out, cudaGraph_t* graph) {
    cuda::Check(cudaStreamBeginCapture(stream.handle, cudaStreamCaptureModeThreadLocal), "capture");
    const std::string message =
        MessageOf([&] { CudaPackedMatmul(context, on_device, in.View(), out.View()); });
    cuda::Check(cudaStreamEndCapture(stream.handle, graph), "capture");
    return message;
  };
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(capture(given, y, &graph),
            "packed layer of [20, 9024]: a capture of 1 tokens needs memory that ReserveCudaMatmul "
            "has to allocate before it");
  cuda::Check(cudaGraphDestroy(graph), "graph");
  ReserveCudaMatmul(context, on_device, 1);
  ASSERT_EQ(capture(given, y, &graph), "");
  cudaGraphExec_t executable = nullptr;
  cuda::Check(cudaGraphInstantiate(&executable, graph, 0), "graph");
  CudaPackedMatmul(context, on_device, many.View(), many_y.View());  // grows
  for (int launch = 0; launch < 2; ++launch) {
    cuda::Check(cudaMemset(y.View().data, 0xff, 4 * kOut), "memory");
    cuda::Check(cudaGraphLaunch(executable, stream.handle), "graph");
    cuda::Check(cudaStreamSynchronize(stream.handle), "graph");
    ExpectEqual(y.Values(), reference.y, 0, "by the graph");
  }
  cuda::Check(cudaGraphExecDestroy(executable), "graph");
  cuda::Check(cudaGraphDestroy(graph), "graph");
}

TEST_P(CudaMatmulSizes, DequantizesToTheWeight) {
  const auto [bits, out, in] = GetParam();
  const CudaContext context(nullptr);
  for (const Sparse sparse : kSparse) {
    const PackedLayer layer = MakeLayer(bits, out, in, sparse, 5);
    const CudaLayer on_device({layer});
    const int64_t first = out / 3;
    std::vector<float> expected(static_cast<size_t>((out - first) * in));
    Dequantize(layer, first, {expected.data(), out - first, in});
    for (const FloatType type : {FloatType::kFloat16, FloatType::kBFloat16, FloatType::kFloat32}) {
      const DeviceMatrix weight(type, out - first, in);
      CudaDequantize(context, on_device, first, weight.View());
      EXPECT_EQ(weight.Values(), expected);
      EXPECT_TRUE(weight.Untouched());
    }
  }
}

// Values as models have them. Tolerance: the table and outliers are rounded to fp16, 2^-12 of the
// row's scale, and a weight that has an outlier once more in the dense path; x to fp16,
// 2^-12; the sum as in matmul_reference.h.
TEST(CudaMatmul, AgreesWithDoublePrecisionOnRealNumbers) {
  constexpr int64_t kOut = 100, kIn = 800, kTokens = 70;
  const std::vector<float> ones = RandomValues(kTokens * kIn, 3);
  std::vector<float> small = ones;  // fp16 holds them as they are, but not divided by much
  for (float& value : small) value *= 1e-3f;
  const CudaContext context(nullptr);
  const auto check = [&](int bits, const std::vector<float>& x, FloatType type) {
    PackedLayer layer = test::MakeRandomLayer(bits, kOut, kIn, 40, 9).layer;
    for (float& value : layer.lookup_table) value *= 0.02f;
    for (float& value : layer.outliers.vals) value *= 0.1f;
    const test::MatmulReference reference = test::ReferenceMatmul(layer, {x.data(), kTokens, kIn});
    const CudaLayer on_device({layer});
    for (const int64_t tokens : {1, 4, 20, 70}) {
      const DeviceMatrix given(type, {x.data(), tokens, kIn}), y(FloatType::kFloat32, tokens, kOut);
      CudaPackedMatmul(context, on_device, given.View(), y.View());
      const std::vector<float> values = y.Values();
      double error = 0, norm = 0;
      for (size_t i = 0; i < values.size(); ++i) {
        error += std::pow(values[i] - reference.y[i], 2);
        norm += std::pow(reference.y[i], 2);
      }
      EXPECT_LT(std::sqrt(error / norm), 4e-4) << bits << " bits, " << tokens << " tokens";
      EXPECT_GT(error, 0);
    }
  };
  for (const int bits : {3, 4}) {
    check(bits, ones, FloatType::kFloat16);
    check(bits, ones, FloatType::kFloat32);
    check(bits, small, FloatType::kFloat16);
  }
}

TEST(CudaMatmul, TakesMoreTokensThanGoAtOnce) {
  constexpr int64_t kOut = 17, kIn = 32, kTokens = 8192 + 70;
  std::vector<float> x = RandomValues(kTokens * kIn, 1), add = RandomValues(kTokens * kOut, 2);
  MakeWhole(&x);
  MakeWhole(&add);
  const PackedLayer layer = MakeLayer(4, kOut, kIn, Sparse::kOnePerRow, 7);
  const test::MatmulReference reference = test::ReferenceMatmul(layer, {x.data(), kTokens, kIn});
  const CudaContext context(nullptr);
  const CudaLayer on_device({layer});
  for (const FloatType type : {FloatType::kFloat16, FloatType::kFloat32}) {
    const DeviceMatrix given(type, {x.data(), kTokens, kIn}),
        y(FloatType::kFloat32, {add.data(), kTokens, kOut});
    const CudaMatrix sum = y.View();
    CudaPackedMatmul(context, on_device, given.View(), sum, &sum);
    const std::vector<float> values = y.Values();
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(values[i], reference.y[i] + add[i]) << "element " << i;
    }
  }
}

TEST(CudaMatmul, TakesAndGivesAnyType) {
  constexpr int64_t kOut = 70, kIn = 288, kTokens = 3;
  std::vector<float> x = RandomValues(kTokens * kIn, 1), add = RandomValues(kTokens * kOut, 2);
  MakeWhole(&x);
  MakeWhole(&add);
  PackedLayer layer = MakeLayer(4, kOut, kIn, Sparse::kMany, 7);
  for (float& value : layer.lookup_table)
    value = std::fmod(value, 2.0f);  // sums that bfloat16 holds
  const test::MatmulReference reference = test::ReferenceMatmul(layer, {x.data(), kTokens, kIn});
  const CudaContext context(nullptr);
  const CudaLayer on_device({layer});
  for (const FloatType in : {FloatType::kFloat16, FloatType::kBFloat16, FloatType::kFloat32}) {
    for (const FloatType out : {FloatType::kFloat16, FloatType::kBFloat16, FloatType::kFloat32}) {
      const DeviceMatrix given(in, {x.data(), kTokens, kIn}), y(out, {add.data(), kTokens, kOut});
      const CudaMatrix sum = y.View();
      CudaPackedMatmul(context, on_device, given.View(), sum, &sum);
      const std::vector<float> values = y.Values();
      for (size_t i = 0; i < values.size(); ++i) {
        const float exact = static_cast<float>(reference.y[i]) + add[i];
        const float expected = out == FloatType::kFloat16    ? Fp16ToFloat(FloatToFp16(exact))
                               : out == FloatType::kBFloat16 ? Bf16ToFloat(FloatToBf16(exact))
                                                             : exact;
        ASSERT_EQ(values[i], expected) << "element " << i;
      }
    }
  }
}

TEST(CudaMatmul, LayersOneBelowTheOtherAreOneMatrix) {
  constexpr int64_t kIn = 320, kTokens = 2;
  std::vector<float> x = RandomValues(kTokens * kIn, 1);
  MakeWhole(&x);
  const PackedLayer first = MakeLayer(3, 33, kIn, Sparse::kOnePerRow, 1),
                    second = MakeLayer(3, 90, kIn, Sparse::kNone, 2);
  const test::MatmulReference a = test::ReferenceMatmul(first, {x.data(), kTokens, kIn});
  const test::MatmulReference b = test::ReferenceMatmul(second, {x.data(), kTokens, kIn});
  const CudaContext context(nullptr);
  const CudaLayer both({first, second});
  ASSERT_EQ(both.out_features(), 123);
  const DeviceMatrix given(FloatType::kFloat16, {x.data(), kTokens, kIn}),
      y(FloatType::kFloat32, kTokens, 123);
  CudaPackedMatmul(context, both, given.View(), y.View());
  const std::vector<float> values = y.Values();
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t o = 0; o < 123; ++o) {
      EXPECT_EQ(values[t * 123 + o], o < 33 ? a.y[t * 33 + o] : b.y[t * 90 + o - 33]);
    }
  }
  const PackedLayer other_bits = MakeLayer(4, 5, kIn, Sparse::kNone, 2);
  EXPECT_EQ(MessageOf([&] {
              CudaLayer({first, other_bits});
            }),
            "layers that do not fit together: 4 bits, 5 rows of 320 inputs, no bias beside 3 bits, "
            "33 rows "
            "of 320 inputs, no bias");
}

// With one part of the inputs and several, by the LUT-GEMV and by the dense path.
TEST(CudaMatmul, GatesTwoInterleavedLayers) {
  constexpr float kScale = 0.125f;
  const CudaContext context(nullptr);
  for (const int bits : {3, 4}) {
    for (const auto& [out, in, tokens] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{
             {70, 320, 1}, {70, 320, 3}, {21, 4352, 2}, {33, 320, 16}, {70, 96, 70}}) {
      std::vector<float> x = RandomValues(tokens * in, 1);
      for (float& value : x) value = Fp16ToFloat(FloatToFp16(value / 64));
      const PackedLayer gate = MakeLayer(bits, out, in, Sparse::kMany, 1),
                        up = MakeLayer(bits, out, in, Sparse::kMany, 2);
      const test::MatmulReference of_gate = test::ReferenceMatmul(gate, {x.data(), tokens, in});
      const test::MatmulReference of_up = test::ReferenceMatmul(up, {x.data(), tokens, in});
      const CudaLayer both({gate, up}, true);
      const DeviceMatrix given(FloatType::kFloat16, {x.data(), tokens, in});
      for (const Activation which :
           {Activation::kSilu, Activation::kRelu, Activation::kGelu, Activation::kGeluTanh}) {
        const DeviceMatrix y(FloatType::kFloat32, tokens, out);
        const CudaGating gating = {which, kScale};
        CudaPackedMatmul(context, both, given.View(), y.View(), nullptr, 1, &gating);
        EXPECT_TRUE(y.Untouched());
        const std::vector<float> found = y.Values();
        for (size_t i = 0; i < found.size(); ++i) {
          const double expected =
              test::ReferenceActivation(which, of_gate.y[i]) * of_up.y[i] * kScale;
          ASSERT_NEAR(found[i], expected, 2e-5 * (1 + std::fabs(expected)))
              << bits << " bits, " << tokens << " tokens, element " << i;
        }
      }
    }
  }
}

TEST(CudaMatmul, GatesNothingElse) {
  const PackedLayer layer = MakeLayer(4, 70, 96, Sparse::kNone, 1),
                    other = MakeLayer(4, 38, 96, Sparse::kNone, 1);
  const CudaContext context(nullptr);
  const CudaLayer one({layer}), below({layer, layer}), two({layer, layer}, true);
  const DeviceMatrix x(FloatType::kFloat32, 2, 96), y(FloatType::kFloat32, 2, 70),
      wide(FloatType::kFloat32, 2, 140);
  const CudaGating gating;
  const CudaMatrix add = y.View();
  const auto message = [&](const CudaLayer& given, const CudaMatrix& out, const CudaMatrix* added) {
    return MessageOf([&] { CudaPackedMatmul(context, given, x.View(), out, added, 1, &gating); });
  };
  EXPECT_THAT(message(one, y.View(), nullptr), ::testing::HasSubstr("two interleaved layers"));
  EXPECT_THAT(message(below, y.View(), nullptr), ::testing::HasSubstr("two interleaved layers"));
  EXPECT_THAT(message(two, y.View(), &add), ::testing::HasSubstr("nothing added"));
  EXPECT_EQ(message(two, wide.View(), nullptr),
            "packed layer of [140, 96], gated: x is [2, 96], y is [2, 140]");
  EXPECT_THAT(MessageOf([&] {
                CudaLayer({layer, other}, true);
              }),
              ::testing::HasSubstr("do not fit together"));
}

TEST(CudaMatmul, ChecksSizes) {
  const PackedLayer layer = MakeLayer(4, 70, 96, Sparse::kNone, 1);
  const CudaContext context(nullptr);
  const CudaLayer on_device({layer});
  const DeviceMatrix x(FloatType::kFloat32, 2, 64), y(FloatType::kFloat32, 2, 70);
  EXPECT_EQ(MessageOf([&] { CudaPackedMatmul(context, on_device, x.View(), y.View()); }),
            "packed layer of [70, 96]: x is [2, 64], y is [2, 70]");
  const DeviceMatrix halves(FloatType::kFloat16, 3, 96);
  CudaMatrix shifted = halves.View();
  shifted.data = static_cast<uint16_t*>(shifted.data) + 1;
  shifted.rows = 2;
  EXPECT_EQ(
      MessageOf([&] { CudaPackedMatmul(context, on_device, shifted, y.View()); }),
      StrCat("packed layer of [70, 96]: expected rows of x at multiples of 16 bytes, found an "
             "address of ",
             shifted.data, " and a stride of ", 2 * shifted.stride, " bytes"));
  const CudaMatrix add(y.View().data, FloatType::kFloat32, 2, 69, y.View().stride);
  const DeviceMatrix whole(FloatType::kFloat32, 2, 96);
  EXPECT_EQ(MessageOf([&] { CudaPackedMatmul(context, on_device, whole.View(), y.View(), &add); }),
            "packed layer of [70, 96]: y is [2, 70], what is added to it is [2, 69]");
}

TEST(CudaMatmul, SaysHowMuchMemoryIsWanted) {
  size_t free_bytes = 0, total_bytes = 0;
  cuda::Check(cudaMemGetInfo(&free_bytes, &total_bytes), "memory");
  const std::string message =
      MessageOf([&] { Buffer<uint8_t>(static_cast<int64_t>(total_bytes) + 1, "a test"); });
  EXPECT_THAT(message, ::testing::HasSubstr(StrCat("CUDA: out of memory: a test wants ",
                                                   total_bytes + 1, " bytes, ")));
  EXPECT_THAT(message, ::testing::HasSubstr(StrCat(" of ", total_bytes, " are free")));
}

}  // namespace
}  // namespace sq
