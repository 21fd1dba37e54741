// What the LUT-GEMV reads from memory and writes there: inputs and codes on their way to a warp,
// and sums on their way to y. Its loop over them: lut_gemv.cuh.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/lut_gemv.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/warp.cuh"

namespace sq::cuda {

// Inputs of x on their way to shared memory, for one warp.
template <int kTokens, int kStage, int kXStride>
struct StagedX {
  static constexpr int kAtOnce = 8;  // halves of a load
  static constexpr int kLoads = kTokens * kStage / kAtOnce / kLanes;
  uint4 words[kLoads];

  // Inputs [begin, begin + kStage); 0 beyond the layer's inputs and tokens.
  __device__ __forceinline__ void Load(const GemvArguments& a, int begin) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const unsigned at = (threadIdx.x % kLanes + i * kLanes) * kAtOnce;
      const unsigned token = at / kStage, column = static_cast<unsigned>(begin) + at % kStage;
      words[i] = {0, 0, 0, 0};
      if (token < static_cast<unsigned>(a.tokens) &&
          column < static_cast<unsigned>(a.layer.inputs)) {
        words[i] = *reinterpret_cast<const uint4*>(
            a.x + (token * static_cast<unsigned>(a.x_stride) + column));
      }
    }
  }
  __device__ __forceinline__ void Store(unsigned char* to) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const unsigned at = (threadIdx.x % kLanes + i * kLanes) * kAtOnce;
      *reinterpret_cast<uint4*>(to + at / kStage * kXStride + at % kStage * 2) = words[i];
    }
  }
};

// Codes of one unit that a warp has on their way.
template <int kBits, int kTiles>
struct UnitCodes {
  uint32_t words[kTiles][4 * kBits];

  // Load `load` of the unit at `at`, for tiles that lie tile_stride apart.
  template <int load>
  __device__ __forceinline__ void Load(const uint4* at, int tile_stride) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      const uint4 loaded = LoadOnce(at + t * tile_stride + load * kLanes);
      words[t][4 * load] = loaded.x, words[t][4 * load + 1] = loaded.y;
      words[t][4 * load + 2] = loaded.z, words[t][4 * load + 3] = loaded.w;
    }
  }
  __device__ __forceinline__ void LoadAll(const uint4* at, int tile_stride) {
    Load<0>(at, tile_stride);
    Load<1>(at, tile_stride);
    Load<2>(at, tile_stride);
    if constexpr (kBits == 4) Load<3>(at, tile_stride);
  }
  // The loads whose last word belongs to `group`, which has been used up.
  template <int group>
  __device__ __forceinline__ void Refill(const uint4* at, int tile_stride) {
    if constexpr (3 / kBits == group) Load<0>(at, tile_stride);
    if constexpr (7 / kBits == group) Load<1>(at, tile_stride);
    if constexpr (11 / kBits == group) Load<2>(at, tile_stride);
    if constexpr (kBits == 4 && group == 3) Load<3>(at, tile_stride);
  }
};

// What turns a sum into an element of y, loaded ahead.
struct Finish {
  float scale = 0, offset = 0;

  // For rows [first_row, first_row + kRows), by as many threads as it takes: what else would come
  // from memory when all is done but this.
  template <int kRows>
  __device__ __forceinline__ static void Expect(const GemvArguments& a, int first_row) {
    constexpr unsigned kFetched = 8;  // values
    const int row = first_row + static_cast<int>(threadIdx.x * kFetched);
    if (threadIdx.x >= kRows / kFetched || row >= a.layer.rows) return;
    Prefetch(a.layer.row_scale + row);
    if (a.layer.bias != nullptr) Prefetch(a.layer.bias + row);
  }
  // After WaitForPrevious, which `add` may be of.
  __device__ __forceinline__ void Load(const GemvArguments& a, int row, int token) {
    if (row >= a.layer.rows || token >= a.tokens) return;
    scale = a.layer.row_scale[row] * a.x_scale;
    offset = a.layer.bias == nullptr ? 0 : a.layer.bias[row];
    if (a.add.data != nullptr) offset += LoadElement(a.add, token, row);
  }
  __device__ __forceinline__ void Store(const GemvArguments& a, int row, int token,
                                        float sum) const {
    if (row >= a.layer.rows || token >= a.tokens) return;
    StoreElement(a.y, token, row, sum * scale + offset);
  }
};

// Adds up what the block's warps have for a group, and the group's parts if it is the last of them.
// `first` is of the thread's first value.
template <typename Shape, int kTokens>
__device__ __forceinline__ void FinishGroup(const GemvArguments& a, int row_group,
                                            const Finish& first, unsigned char* shared) {
  const float* const warp_sums = reinterpret_cast<const float*>(shared + Shape::kWarpsAt);
  const auto finish = [&](unsigned i, float sum) {
    const int row = row_group * Shape::kRows + static_cast<int>(i / kTokens);
    const int token = static_cast<int>(i % kTokens);
    Finish own = first;
    if (!Shape::kFinishAhead || i != threadIdx.x) own.Load(a, row, token);
    own.Store(a, row, token, sum);
  };
  const int splits = static_cast<int>(gridDim.y), split = static_cast<int>(blockIdx.y);
  float* const parts = a.partials + static_cast<int64_t>(row_group) * splits * Shape::kValues;
  for (unsigned i = threadIdx.x; i < Shape::kValues; i += Shape::kThreads) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < Shape::kThreads / kLanes; ++w)
      sum += warp_sums[w * (Shape::kWarpBytes / 4) + i];
    if (splits == 1) {
      finish(i, sum);
    } else {
      parts[split * Shape::kValues + i] = sum;
    }
  }
  if (splits == 1) return;
  int* const last = reinterpret_cast<int*>(shared + Shape::kLastAt);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    *last = LastToArrive(a.arrived + row_group, splits);
  }
  __syncthreads();
  if (*last == 0) return;
  __threadfence();
  for (unsigned i = threadIdx.x; i < Shape::kValues; i += Shape::kThreads) {
    float sum = 0;
    for (int s = 0; s < splits; ++s) sum += LoadFresh(parts + s * Shape::kValues + i);
    finish(i, sum);
  }
}

}  // namespace sq::cuda
