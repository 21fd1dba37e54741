// Each kernel against plain loops in double precision, with the threads of a block in several
// orders.
#include "kernels/cuda/decoder/decode_kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/support/activation_reference.h"
#include "tests/support/decode_kernels.h"

namespace sq {
namespace {

using cuda::Buffer;
using test::CacheOnDevice;
using test::DeviceMatrix;
using test::InAnyOrder;
using test::kQueue;
using test::kTypes;
using test::OnDevice;
using test::Precision;
using test::RandomValues;
using test::Rounded;

TEST(DecodeKernels, EmbeddingAddsTheRowsOfIdAndPosition) {
  constexpr int64_t kVocab = 11, kHidden = 264, kPositions = 9, kBatch = 2, kTokens = 3;
  const std::vector<float> words = RandomValues(kVocab * kHidden, 1),
                           places = RandomValues(kPositions * kHidden, 2);
  const std::vector<int32_t> ids = {3, 0, 10, 7, 7, 1};
  constexpr int32_t kLength = 5;
  const Buffer<int32_t> on_device = OnDevice(ids), length = OnDevice<int32_t>({kLength});
  for (const FloatType type : kTypes) {
    const DeviceMatrix table(type, {words.data(), kVocab, kHidden}),
        positions(type, {places.data(), kPositions, kHidden});
    for (const bool learned : {false, true}) {
      const DeviceMatrix out(FloatType::kFloat32, kBatch * kTokens, kHidden);
      cuda::EmbedTokens(kQueue, {on_device.data(), length.data()}, kTokens, table.View(),
                        learned ? positions.View() : CudaMatrix(), out.View());
      const std::vector<float> values = out.Values();
      for (int64_t r = 0; r < kBatch * kTokens; ++r) {
        for (int64_t c = 0; c < kHidden; ++c) {
          float expected = Rounded(words[ids[r] * kHidden + c], type);
          if (learned) expected += Rounded(places[(kLength + r % kTokens) * kHidden + c], type);
          ASSERT_EQ(values[r * kHidden + c], expected) << "row " << r << ", column " << c;
        }
      }
      EXPECT_TRUE(out.Untouched());
    }
  }
}

// Bound: 16 values a thread and 5 + 5 exchanges, each sum off by at most 2^-24 of itself, and a few
// roundings more: < 2e-6 of the row's greatest value; then the type's own rounding.
TEST(DecodeKernels, NormsAgreeWithDoublePrecision) {
  constexpr int64_t kRows = 3;
  constexpr float kEpsilon = 1e-5f;
  for (const int64_t size : {4, 32, 132, 1028, 4096, 16384}) {
    std::vector<float> x = RandomValues(kRows * size, 1);
    const std::vector<float> weight = RandomValues(size, 2), bias = RandomValues(size, 3);
    for (float& value : x) value = 3 * value + 2;
    const DeviceMatrix given(FloatType::kFloat32, {x.data(), kRows, size});
    const Buffer<float> weights = OnDevice(weight), biases = OnDevice(bias);
    for (const bool layer_norm : {false, true}) {
      for (const FloatType type : kTypes) {
        InAnyOrder([&] {
          const DeviceMatrix out(type, kRows, size);
          cuda::Normalize(kQueue, given.View(), weights.data(),
                          layer_norm ? biases.data() : nullptr, kEpsilon, out.View());
          const std::vector<float> values = out.Values();
          for (int64_t r = 0; r < kRows; ++r) {
            double mean = 0, squares = 0, most = 0;
            for (int64_t c = 0; c < size; ++c) mean += x[r * size + c] / double(size);
            if (!layer_norm) mean = 0;
            for (int64_t c = 0; c < size; ++c) {
              squares += std::pow(x[r * size + c] - mean, 2) / double(size);
            }
            std::vector<double> expected(static_cast<size_t>(size));
            for (int64_t c = 0; c < size; ++c) {
              expected[c] = (x[r * size + c] - mean) / std::sqrt(squares + kEpsilon) * weight[c] +
                            (layer_norm ? bias[c] : 0);
              most = std::max(most, std::fabs(expected[c]));
            }
            for (int64_t c = 0; c < size; ++c) {
              ASSERT_NEAR(values[r * size + c], expected[c],
                          2e-6 * most + Precision(type) * std::fabs(expected[c]))
                  << size << " values, row " << r << ", column " << c;
            }
          }
          EXPECT_TRUE(out.Untouched());
        });
      }
    }
  }
}

TEST(DecodeKernels, TokensAreNormalizedRotatedAndPlaced) {
  constexpr int64_t kBatch = 2, kTokens = 2, kHeads = 3, kKvHeads = 3, kCapacity = 7;
  constexpr int32_t kLength = 3;
  constexpr float kEpsilon = 1e-6f;
  const Buffer<int32_t> length = OnDevice<int32_t>({kLength});
  for (const int64_t head_dim : {8, 32, 80, 128, 256}) {
    const int64_t half = head_dim / 2, cols = (kHeads + 2 * kKvHeads) * head_dim;
    const std::vector<float> x = RandomValues(kBatch * kTokens * cols, 1),
                             query_norm = RandomValues(head_dim, 2),
                             key_norm = RandomValues(head_dim, 3);
    std::vector<float> cos = RandomValues(kCapacity * half, 4);
    std::vector<float> sin = RandomValues(kCapacity * half, 5);
    const Buffer<float> on_device[] = {OnDevice(query_norm), OnDevice(key_norm), OnDevice(cos),
                                       OnDevice(sin)};
    for (const bool norms : {false, true}) {
      for (const bool rotary : {false, true}) {
        const DeviceMatrix qkv(FloatType::kFloat32, {x.data(), kBatch * kTokens, cols});
        const CacheOnDevice cache(kBatch, kKvHeads, kCapacity, head_dim);
        cuda::RopeArguments arguments;
        arguments.qkv = qkv.View();
        arguments.heads = kHeads;
        arguments.tokens = kTokens;
        arguments.epsilon = kEpsilon;
        arguments.length = length.data();
        if (norms) {
          arguments.query_norm = on_device[0].data();
          arguments.key_norm = on_device[1].data();
        }
        if (rotary) {
          arguments.cos = on_device[2].data();
          arguments.sin = on_device[3].data();
        }
        cuda::RopeAndAppend(kQueue, arguments, cache.View());
        const std::vector<float> queries = qkv.Values();
        const std::vector<uint16_t> keys = cache.keys.ToHost(), values = cache.values.ToHost();
        int64_t written = 0;
        for (int64_t r = 0; r < kBatch * kTokens; ++r) {
          const int64_t b = r / kTokens, position = kLength + r % kTokens;
          for (int64_t head = 0; head < kHeads + 2 * kKvHeads; ++head) {
            const float* in = x.data() + r * cols + head * head_dim;
            const bool is_value = head >= kHeads + kKvHeads;
            const std::vector<float>& weight = head < kHeads ? query_norm : key_norm;
            std::vector<double> y(in, in + head_dim);
            if (norms && !is_value) {
              double squares = 0;
              for (const double value : y) squares += value * value / double(head_dim);
              for (int64_t d = 0; d < head_dim; ++d) {
                y[d] *= weight[d] / std::sqrt(squares + kEpsilon);
              }
            }
            if (rotary && !is_value) {
              for (int64_t d = 0; d < half; ++d) {
                const double c = cos[position * half + d], s = sin[position * half + d];
                const double low = y[d], high = y[d + half];
                y[d] = low * c - high * s;
                y[d + half] = high * c + low * s;
              }
            }
            for (int64_t d = 0; d < head_dim; ++d) {
              const double bound = 1e-5 * (1 + std::fabs(y[d]));
              if (head < kHeads) {
                ASSERT_NEAR(queries[r * cols + head * head_dim + d], y[d], bound);
                continue;
              }
              const int64_t kv_head = is_value ? head - kHeads - kKvHeads : head - kHeads;
              const auto& from = is_value ? values : keys;
              ASSERT_NEAR(Fp16ToFloat(from[cache.At(b, kv_head, position) + d]), y[d],
                          bound + std::fabs(y[d]) / 2048)
                  << head_dim << " dims, head " << head << ", dim " << d;
              ++written;
            }
          }
        }
        // Everywhere else the cache is as it was.
        const auto unwritten = [](const std::vector<uint16_t>& all) {
          return std::count(all.begin(), all.end(), uint16_t{0xffff});
        };
        EXPECT_EQ(unwritten(keys) + unwritten(values),
                  static_cast<int64_t>(keys.size() + values.size()) - written);
      }
    }
  }
}

TEST(DecodeKernels, ActivationsAgreeWithDoublePrecision) {
  constexpr float kScale = 0.25f;
  for (const int64_t rows : {1, 3}) {
    for (const int64_t cols : {4, 96, 1028}) {
      std::vector<float> gates = RandomValues(rows * cols, 1), ups = RandomValues(rows * cols, 2);
      for (float& value : gates) value *= 4;
      gates[0] = -200;  // whose exponential is infinite
      gates[1] = 200;
      const DeviceMatrix gate(FloatType::kFloat32, {gates.data(), rows, cols}),
          up(FloatType::kFloat32, {ups.data(), rows, cols});
      for (const Activation function :
           {Activation::kSilu, Activation::kRelu, Activation::kGelu, Activation::kGeluTanh}) {
        for (const bool gated : {false, true}) {
          for (const FloatType type : kTypes) {
            const DeviceMatrix out(type, rows, cols);
            cuda::Activate(kQueue, function, gated ? gate.View() : CudaMatrix(),
                           gated ? up.View() : gate.View(), kScale, out.View());
            const std::vector<float> found = out.Values();
            for (size_t i = 0; i < found.size(); ++i) {
              const double expected =
                  test::ReferenceActivation(function, gates[i]) * (gated ? ups[i] : 1) * kScale;
              ASSERT_NEAR(found[i], expected,
                          1e-6 * (1 + std::fabs(expected)) + Precision(type) * std::fabs(expected))
                  << "element " << i;
            }
            EXPECT_TRUE(out.Untouched());
          }
        }
      }
    }
  }
}

TEST(DecodeKernels, BiasIsAddedToEveryRow) {
  constexpr int64_t kRows = 3, kCols = 261;
  const std::vector<float> x = RandomValues(kRows * kCols, 1), bias = RandomValues(kCols, 2);
  const DeviceMatrix y(FloatType::kFloat32, {x.data(), kRows, kCols});
  const Buffer<float> on_device = OnDevice(bias);
  cuda::AddBias(kQueue, on_device.data(), y.View());
  const std::vector<float> found = y.Values();
  for (int64_t i = 0; i < kRows * kCols; ++i) ASSERT_EQ(found[i], x[i] + bias[i % kCols]);
  EXPECT_TRUE(y.Untouched());
}

TEST(DecodeKernels, ArgmaxTakesTheLowestOfEqualIds) {
  for (const int64_t cols : {1, 31, 300, 8192, 20000}) {
    constexpr int64_t kRows = 3;
    std::vector<float> x = RandomValues(kRows * cols, 1);
    for (float& value : x) value = std::round(value);  // ties, also between parts
    const int64_t last = (kRows - 1) * cols;
    for (int64_t i = last; i < last + cols; ++i) x[i] = -INFINITY;
    x[last] = NAN;
    std::vector<int32_t> expected;
    for (int64_t r = 0; r + 1 < kRows; ++r) {
      const auto row = x.begin() + r * cols;
      expected.push_back(static_cast<int32_t>(std::max_element(row, row + cols) - row));
    }
    expected.push_back(cols > 1 ? 1 : 0);  // one number is better than none; none is 0
    const DeviceMatrix given(FloatType::kFloat32, {x.data(), kRows, cols});
    const int64_t parts = cuda::ArgmaxParts(cols);
    const Buffer<float> values(kRows * parts, "test values");
    const Buffer<int32_t> ids(kRows * parts, "test values"), out(kRows, "test values");
    const Buffer<unsigned> counters = OnDevice(std::vector<unsigned>(kRows, 0));
    InAnyOrder([&] {
      cuda::Argmax(kQueue, given.View(), {values.data(), ids.data(), counters.data()}, out.data());
      EXPECT_EQ(out.ToHost(), expected) << cols << " columns";
      EXPECT_EQ(counters.ToHost(), std::vector<unsigned>(kRows, 0));
    });
  }
}

TEST(DecodeKernels, AdvanceCountsTokens) {
  const Buffer<int32_t> length = OnDevice<int32_t>({5});
  cuda::Advance(kQueue, length.data(), 1);
  cuda::Advance(kQueue, length.data(), 3);
  EXPECT_EQ(length.ToHost(), std::vector<int32_t>{9});
}

}  // namespace
}  // namespace sq
