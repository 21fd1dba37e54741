// The outliers of 64 rows times up to kTokens tokens, by one thread block: the sparse part of the
// LUT-GEMV. 8 lanes a row, so that a block's 16 warps have all rows at once; a row with very many
// is taken by all threads together. Sums are added up in an order that depends on the row alone.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/lut_gemv.h"
#include "kernels/cuda/reduce.cuh"

namespace sq::cuda {

constexpr int kLanesPerRow = 8;
constexpr int kLongRow = 512;  // entries: from here on a row is all threads'

template <int kTokens>
__device__ __forceinline__ void AddEntry(uint32_t entry, const uint16_t* x, int64_t x_stride,
                                         int tokens, float (&sums)[kTokens]) {
  const float value = HalfValue(entry >> 16);
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    if (t < tokens) sums[t] += value * HalfValue(x[t * x_stride + (entry & 0xffff)]);
  }
}

// A group's outliers on their way to sums: three loads that need each other (where a row's entries
// are, the entries, x), each issued as early as may be, with other work between.
template <int kTokens>
struct SparseGroup {
  // Entries of a lane that are fetched ahead: 24 of a row, where there are registers for them. On
  // compute capability 8.0 nvcc would spill others.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 800
  static constexpr int kHeld = 0;
#else
  static constexpr int kHeld = kTokens == 1 ? 3 : 0;
#endif
  int32_t begin = 0, end = 0;  // of this lane's row
  uint32_t held[kHeld + 1] = {};

  __device__ __forceinline__ static int OwnRow() {
    return static_cast<int>(threadIdx.x) / kLanesPerRow;
  }
  __device__ __forceinline__ static int OwnLane() {
    return static_cast<int>(threadIdx.x) % kLanesPerRow;
  }
  __device__ __forceinline__ bool IsLong() const { return end - begin >= kLongRow; }

  __device__ __forceinline__ void Find(const LayerView& layer, int group) {
    static_assert(kGemvThreads == kGroupRows * kLanesPerRow, "a place for each row");
    const int32_t* begins = layer.sparse_begin + group * kGroupRows + OwnRow();
    begin = begins[0];
    end = begins[1];
  }

  __device__ __forceinline__ void Fetch(const LayerView& layer) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int32_t e = begin + OwnLane() + i * kLanesPerRow;
      held[i] = e < end ? layer.sparse[e] : 0;
    }
  }

  // Sums in units of the row's scale: to sums [64][kTokens] in shared memory, for all rows, 0 where
  // there is no outlier. scratch: kGemvWarps * kTokens floats of shared memory. Ends with a
  // barrier.
  __device__ __forceinline__ void AddUp(const LayerView& layer, int group, const uint16_t* x,
                                        int64_t x_stride, int tokens, float* sums,
                                        float* scratch) const {
    float own[kTokens] = {};
    const int32_t own_end = IsLong() ? begin : end;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (begin + OwnLane() + i * kLanesPerRow < own_end)
        AddEntry(held[i], x, x_stride, tokens, own);
    }
    for (int32_t e = begin + OwnLane() + kHeld * kLanesPerRow; e < own_end; e += kLanesPerRow) {
      AddEntry(layer.sparse[e], x, x_stride, tokens, own);
    }
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      own[t] = LanesSum(own[t], 1, kLanesPerRow);
      if (OwnLane() == 0) sums[OwnRow() * kTokens + t] = own[t];
    }
    if (__syncthreads_or(IsLong()) != 0)
      AddLongRows(layer, group, x, x_stride, tokens, sums, scratch);
  }

  // Rare: all threads, one row after another.
  __device__ static void AddLongRows(const LayerView& layer, int group, const uint16_t* x,
                                     int64_t x_stride, int tokens, float* sums, float* scratch) {
    const int warp = static_cast<int>(threadIdx.x) / kLanes;
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    const int32_t* begins = layer.sparse_begin + group * kGroupRows;
    for (int row = 0; row < kGroupRows; ++row) {
      const int32_t begin = begins[row], end = begins[row + 1];
      if (end - begin < kLongRow) continue;  // the same for all threads
      float own[kTokens] = {};
      for (int32_t e = begin + static_cast<int32_t>(threadIdx.x); e < end; e += kGemvThreads) {
        AddEntry(layer.sparse[e], x, x_stride, tokens, own);
      }
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        own[t] = LanesSum(own[t]);
        if (lane == 0) scratch[warp * kTokens + t] = own[t];
      }
      __syncthreads();
      if (threadIdx.x < kTokens) {
        float sum = 0;
        for (int w = 0; w < kGemvWarps; ++w) sum += scratch[w * kTokens + threadIdx.x];
        sums[row * kTokens + threadIdx.x] = sum;
      }
      __syncthreads();
    }
  }
};

}  // namespace sq::cuda
