// The outliers of a tile's 16 rows times up to kTokens tokens: the sparse part of the LUT-GEMV. A
// warp has a row or two; a row with very many is shared out to all warps of the block. Sums are
// added up in an order that depends on the row alone.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/lut_gemv.h"
#include "kernels/cuda/reduce.cuh"

namespace sq::cuda {

constexpr int kLongRow = 512;  // entries: from here on a row is all warps'

// Adds the warp's values: lane i gets the sum of value i / (32 / kCount), in a fixed order.
template <int kCount>
__device__ __forceinline__ float LanesSums(float (&values)[kCount]) {
  const int lane = Lane();
  int bit = kLanes / 2;
#pragma unroll
  for (int left = kCount / 2; left > 0; left /= 2, bit /= 2) {
    const bool upper = (lane & bit) != 0;
#pragma unroll
    for (int i = 0; i < left; ++i) {
      const float keep = upper ? values[i + left] : values[i];
      const float give = upper ? values[i] : values[i + left];
      values[i] = keep + __shfl_xor_sync(kWholeWarp, give, bit);
    }
  }
  return LanesSum(values[0], 1, 2 * bit);
}

// Three loads that need each other (where rows' entries are, the entries, x), each issued as early
// as may be, with other work between.
template <int kTokens, int kWarps>
struct SparseTile {
  static constexpr int kRows = kTileRows / kWarps;  // of a warp
  static_assert(kTileRows % kWarps == 0, "as many rows for each warp");
  static constexpr int kHeld = kTokens == 1 ? 2 : 0;  // of a row, entries of a lane fetched ahead
  int32_t row_begin = 0;                              // of row `lane` of the tile, for 17 lanes
  uint32_t held[kRows][kHeld + 1] = {};
  float early[kRows] = {};  // of the held entries

  __device__ __forceinline__ int32_t Begin(int row) const {
    return __shfl_sync(kWholeWarp, row_begin, row);
  }
  __device__ __forceinline__ static int Row(int i) {
    return static_cast<int>(threadIdx.x / kLanes) + i * kWarps;
  }

  __device__ __forceinline__ void Find(const LayerView& layer, int tile) {
    row_begin = layer.sparse_begin[tile * kTileRows + min(Lane(), kTileRows)];
  }

  __device__ __forceinline__ void Fetch(const LayerView& layer) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int32_t begin = Begin(Row(r)), end = Begin(Row(r) + 1);
#pragma unroll
      for (int i = 0; i < kHeld; ++i) {
        const int32_t e = begin + Lane() + i * kLanes;
        held[r][i] = e < end && end - begin < kLongRow ? layer.sparse[e] : 0;
      }
    }
  }

  // Once x is there.
  __device__ __forceinline__ void MultiplyHeld(const uint16_t* x) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      early[r] = 0;
#pragma unroll
      for (int i = 0; i < kHeld; ++i) {
        const uint32_t entry = held[r][i];
        if (entry != 0) early[r] += HalfValue(entry >> 16) * HalfValue(x[entry & 0xffff]);
      }
    }
  }

  __device__ __forceinline__ static void AddEntries(const GemvArguments& a, int32_t begin,
                                                    int32_t end, int32_t step,
                                                    float (&sums)[kTokens]) {
    for (int32_t e = begin; e < end; e += step) {
      const uint32_t entry = a.layer.sparse[e];
      const float value = HalfValue(entry >> 16);
#pragma unroll
      for (int t = 0; t < kTokens; ++t) {
        if (t < a.tokens) sums[t] += value * HalfValue(a.x[t * a.x_stride + (entry & 0xffff)]);
      }
    }
  }

  // Adds to this warp's sums [16][kTokens] in units of the rows' scales.
  __device__ __forceinline__ void AddTo(const GemvArguments& a, float* sums) const {
    const int32_t length = __shfl_down_sync(kWholeWarp, row_begin, 1) - row_begin;  // of row `lane`
    uint32_t long_rows = __ballot_sync(kWholeWarp, Lane() < kTileRows && length >= kLongRow);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if ((long_rows >> Row(r) & 1) != 0) continue;
      float own[kTokens] = {};
      own[0] = early[r];
      AddEntries(a, Begin(Row(r)) + Lane() + kHeld * kLanes, Begin(Row(r) + 1), kLanes, own);
      AddRow(own, sums + Row(r) * kTokens);
    }
    for (; long_rows != 0; long_rows &= long_rows - 1) {
      const int row = __ffs(static_cast<int>(long_rows)) - 1;
      float own[kTokens] = {};
      AddEntries(a, Begin(row) + static_cast<int>(threadIdx.x), Begin(row + 1), kWarps * kLanes,
                 own);
      AddRow(own, sums + row * kTokens);
    }
  }

  __device__ __forceinline__ static void AddRow(float (&own)[kTokens], float* sums) {
    constexpr int kLanesPerToken = kLanes / kTokens;
    const float sum = LanesSums(own);
    if (Lane() % kLanesPerToken == 0) sums[Lane() / kLanesPerToken] += sum;
  }
};

}  // namespace sq::cuda
