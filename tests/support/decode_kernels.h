// What the tests of the decode kernels share.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "kernels/cuda/decoder/decode_kernels.h"
#include "tests/support/cuda_memory.h"
#include "tests/support/random_layer.h"

namespace sq::test {

inline const cuda::Queue kQueue;
constexpr uint64_t kSeeds[] = {0, 1, 2};
constexpr FloatType kTypes[] = {FloatType::kFloat16, FloatType::kBFloat16, FloatType::kFloat32};

inline float Rounded(float value, FloatType type) {
  return type == FloatType::kFloat16    ? Fp16ToFloat(FloatToFp16(value))
         : type == FloatType::kBFloat16 ? Bf16ToFloat(FloatToBf16(value))
                                        : value;
}
// Half a unit in the last place, relative.
inline double Precision(FloatType type) {
  return type == FloatType::kFloat16 ? 1.0 / 2048 : type == FloatType::kBFloat16 ? 1.0 / 256 : 0;
}

template <typename T>
cuda::Buffer<T> OnDevice(const std::vector<T>& values) {
  return cuda::Buffer<T>(values, "test values");
}

// Runs `body` with the threads in several orders.
inline void InAnyOrder(const std::function<void()>& body) {
  for (const uint64_t seed : kSeeds) {
    SCOPED_TRACE(StrCat("schedule ", seed));
    SetScheduleSeed(seed);
    body();
    SetScheduleSeed(0);
  }
}

// What RopeAndAppend and Attend work on, on both sides.
struct CacheOnDevice {
  int64_t batch, kv_heads, capacity, head_dim;
  cuda::Buffer<uint16_t> keys, values;
  CacheOnDevice(int64_t batch, int64_t kv_heads, int64_t capacity, int64_t head_dim)
      : batch(batch), kv_heads(kv_heads), capacity(capacity), head_dim(head_dim) {
    const std::vector<uint16_t> nan(static_cast<size_t>(batch * kv_heads * capacity * head_dim),
                                    0xffff);
    keys = OnDevice(nan);
    values = OnDevice(nan);
  }
  cuda::Cache View() const { return {keys.data(), values.data(), kv_heads, capacity, head_dim}; }
  int64_t At(int64_t b, int64_t head, int64_t position) const {
    return ((b * kv_heads + head) * capacity + position) * head_dim;
  }
};

}  // namespace sq::test
