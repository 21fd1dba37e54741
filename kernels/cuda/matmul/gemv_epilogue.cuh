// The epilogue of the LUT-GEMV: from the sums of a tile's rows to y. Split-K (parts of the inputs
// in several thread blocks), scale and bias, then an addition or a gated activation, and the first
// half of a fused RMSNorm.
#pragma once

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/lut_gemv.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/warp.cuh"

namespace sq::cuda {

// From the sums of a thread block, of a tile's rows and kTokens tokens, to y.
template <int kTokens, int kThreads>
struct TileEpilogue {
  static constexpr int kValues = kTileRows * kTokens;
  static constexpr int kOfThread = static_cast<int>(CeilDivide(kValues, kThreads));
  // What turns a sum into an element of y, loaded while the warps store their sums.
  float scale[kOfThread] = {}, bias[kOfThread] = {}, added[kOfThread] = {};
  float weight = 0;  // of the RMSNorm fused into the epilogue

  template <typename Body>
  __device__ __forceinline__ static void ForEach(const Body& body) {
#pragma unroll
    for (int v = 0; v < kOfThread; ++v) {
      const int i = v * kThreads + static_cast<int>(threadIdx.x);
      if (i < kValues) body(v, i);
    }
  }
  __device__ __forceinline__ static bool IsWanted(const GemvArguments& a, int tile, int i) {
    return tile * kTileRows + i / kTokens < a.layer.rows && i % kTokens < a.tokens;
  }

  // After WaitForPrevious, which `add` may be of.
  __device__ __forceinline__ void Load(const GemvArguments& a, int tile) {
    ForEach([&](int v, int i) {
      if (!IsWanted(a, tile, i)) return;
      const int row = tile * kTileRows + i / kTokens;
      scale[v] = a.layer.row_scale[row];
      if (a.layer.bias != nullptr) bias[v] = a.layer.bias[row];
      if (a.epilogue.add.data != nullptr) added[v] = LoadElement(a.epilogue.add, i % kTokens, row);
      if (kTokens == 1 && a.epilogue.norm.weight != nullptr) weight = a.epilogue.norm.weight[row];
    });
  }
  // All lanes of the warp must come.
  __device__ __forceinline__ void Store(const GemvArguments& a, int tile, int v, int i,
                                        float sum) const {
    float value = sum * (scale[v] * a.x_scale) + (bias[v] + added[v]);
    int row = tile * kTileRows + i / kTokens;
    const bool wanted = IsWanted(a, tile, i);
    if (a.epilogue.gated) {
      value = Gate(a.epilogue.gating, value, __shfl_xor_sync(kWholeWarp, value, kTokens));
      if (row % 2 != 0) return;
      row /= 2;
    }
    if (wanted) StoreElement(a.y, i % kTokens, row, value);
    if (kTokens == 1 &&
        a.epilogue.norm.weight != nullptr) {  // the tile's rows are the warp's lanes
      if (wanted) a.epilogue.norm.weighted[row] = value * weight;
      const float squares = LanesSum(wanted ? value * value : 0);
      if (i == 0) a.epilogue.norm.squares[tile] = squares;
    }
  }
  // Writes y. With split-K the last of the tile's blocks to arrive adds up the parts first.
  // sum_of(i): value i of the block's part. All threads must come. `last`: shared memory for it
  // alone.
  template <typename SumOf>
  __device__ __forceinline__ void Finish(const GemvArguments& a, int tile, const SumOf& sum_of,
                                         int* last) const {
    const int parts = static_cast<int>(gridDim.y), part = static_cast<int>(blockIdx.y);
    if (parts == 1) {
      ForEach([&](int v, int i) { Store(a, tile, v, i, sum_of(i)); });
      return;
    }
    float* const sums = a.partials + static_cast<int64_t>(tile) * parts * kValues;
    ForEach([&](int, int i) { sums[part * kValues + i] = sum_of(i); });
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) *last = LastToArrive(a.arrived + tile, parts);
    __syncthreads();
    if (*last == 0) return;
    __threadfence();
    ForEach([&](int v, int i) {
      float all = 0;
      for (int p = 0; p < parts; ++p) all += LoadFresh(sums + p * kValues + i);
      Store(a, tile, v, i, all);
    });
  }
};

}  // namespace sq::cuda
