// One head of a new token's query, key or value, prepared for attention by one warp: RMSNorm of the
// head and rotary embedding.
#pragma once

#include "kernels/cuda/decoder/decode_kernels.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/reduce.cuh"

namespace sq::cuda {

// Lane l holds dims 2l, 2l + 1, 2l + 64, .. of the first half and of the second. Heads are numbered
// as in RopeArguments::qkv.
struct HeadRope {
  static constexpr int kMaxPairs = static_cast<int>(kMaxHeadDim) / 4 / kLanes;
  float2 cos[kMaxPairs], sin[kMaxPairs], first_norm[kMaxPairs], second_norm[kMaxPairs];
  bool normed;

  __device__ __forceinline__ static int Dim(int i) {
    return 2 * (i * kLanes + static_cast<int>(threadIdx.x) % kLanes);
  }
  __device__ __forceinline__ static float2 Two(const float* from) {
    return *reinterpret_cast<const float2*>(from);
  }

  // Loads what no step writes: rotary angles and norm weights.
  __device__ __forceinline__ void LoadAhead(const RopeArguments& a, const Cache& cache, int head,
                                            int64_t position) {
    const int heads = static_cast<int>(a.heads), half = static_cast<int>(cache.head_dim / 2);
    const bool is_value = head >= heads + static_cast<int>(cache.kv_heads);
    const float* const norm = is_value ? nullptr : head < heads ? a.query_norm : a.key_norm;
    normed = norm != nullptr;
#pragma unroll
    for (int i = 0; i < kMaxPairs; ++i) {
      cos[i] = first_norm[i] = second_norm[i] = {1, 1};
      sin[i] = {0, 0};
      if (Dim(i) >= half) continue;
      if (a.cos != nullptr && !is_value) {
        cos[i] = Two(a.cos + position * half + Dim(i));
        sin[i] = Two(a.sin + position * half + Dim(i));
      }
      if (normed) {
        first_norm[i] = Two(norm + Dim(i));
        second_norm[i] = Two(norm + half + Dim(i));
      }
    }
  }
  // put(dim, values of dim and dim + 1) for all dims; x: the head as the product left it.
  template <typename Put>
  __device__ __forceinline__ void Apply(const RopeArguments& a, const Cache& cache, const float* x,
                                        const Put& put) const {
    const int half = static_cast<int>(cache.head_dim / 2);
    float2 first[kMaxPairs], second[kMaxPairs];
#pragma unroll
    for (int i = 0; i < kMaxPairs; ++i) {
      first[i] = second[i] = {0, 0};
      if (Dim(i) >= half) continue;
      first[i] = Two(x + Dim(i));
      second[i] = Two(x + half + Dim(i));
    }
    float scale = 1;
    if (normed) {
      float squares = 0;
#pragma unroll
      for (int i = 0; i < kMaxPairs; ++i) {
        squares += first[i].x * first[i].x + first[i].y * first[i].y + second[i].x * second[i].x +
                   second[i].y * second[i].y;
      }
      scale = rsqrtf(LanesSum(squares) / static_cast<float>(cache.head_dim) + a.epsilon);
    }
#pragma unroll
    for (int i = 0; i < kMaxPairs; ++i) {
      if (Dim(i) >= half) continue;
      const float2 u = {first[i].x * scale * first_norm[i].x, first[i].y * scale * first_norm[i].y};
      const float2 v = {second[i].x * scale * second_norm[i].x,
                        second[i].y * scale * second_norm[i].y};
      put(Dim(i), float2{u.x * cos[i].x - v.x * sin[i].x, u.y * cos[i].y - v.y * sin[i].y});
      put(half + Dim(i), float2{v.x * cos[i].x + u.x * sin[i].x, v.y * cos[i].y + u.y * sin[i].y});
    }
  }
};

// Where kv head `head` of a sequence is at a position: keys' heads first, then values'.
__device__ __forceinline__ uint16_t* CacheRow(const Cache& cache, int64_t sequence, int head,
                                              int64_t position) {
  const auto kv_heads = static_cast<int>(cache.kv_heads);
  uint16_t* const all = head < kv_heads ? cache.keys : cache.values;
  return all +
         ((sequence * kv_heads + head % kv_heads) * cache.capacity + position) * cache.head_dim;
}

}  // namespace sq::cuda
