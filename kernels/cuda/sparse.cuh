// The outliers of 64 rows times up to kTokens tokens, by one thread block: the sparse part of the
// LUT-GEMV. 8 lanes a row, so that a block's 16 warps have all rows at once; a row with very many
// is taken by all threads together. Sums are added up in an order that depends on the row alone.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/lut_gemv.h"

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

// Sums over the outliers of the rows of `group`, in units of the row's scale times kInputScale: to
// sums [64][kTokens] in shared memory, for all rows, 0 where there is none. scratch: kGemvWarps *
// kTokens floats of shared memory. Ends with a barrier.
template <int kTokens>
__device__ __forceinline__ void SparseSums(const LayerView& layer, int group, const uint16_t* x,
                                           int64_t x_stride, int tokens, float* sums,
                                           float* scratch) {
  const int warp = static_cast<int>(threadIdx.x) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int own_row = warp * (kLanes / kLanesPerRow) + lane / kLanesPerRow;
  const int32_t* begins = layer.sparse_begin + group * kRowGroup;
  const int32_t own_begin = begins[own_row], own_end = begins[own_row + 1];
  const bool is_long = own_end - own_begin >= kLongRow;
  {
    float own[kTokens] = {};
    const int32_t end = is_long ? own_begin : own_end;
    for (int32_t e = own_begin + lane % kLanesPerRow; e < end; e += kLanesPerRow) {
      AddEntry(layer.sparse[e], x, x_stride, tokens, own);
    }
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
#pragma unroll
      for (int step = 1; step < kLanesPerRow; step *= 2) {
        own[t] += __shfl_xor_sync(0xffffffffu, own[t], step);
      }
      if (lane % kLanesPerRow == 0) sums[own_row * kTokens + t] = own[t];
    }
  }
  if (__syncthreads_or(is_long) == 0) return;
  for (int row = 0; row < kGroupRows; ++row) {
    const int32_t begin = begins[row], end = begins[row + 1];
    if (end - begin < kLongRow) continue;  // the same for all threads
    float own[kTokens] = {};
    for (int32_t e = begin + static_cast<int32_t>(threadIdx.x); e < end; e += kGemvThreads) {
      AddEntry(layer.sparse[e], x, x_stride, tokens, own);
    }
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
#pragma unroll
      for (int step = 1; step < kLanes; step *= 2)
        own[t] += __shfl_xor_sync(0xffffffffu, own[t], step);
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

}  // namespace sq::cuda
