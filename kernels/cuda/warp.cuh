// A warp's lanes, where a warp works on one thing together.
#pragma once

#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/runtime.h"

namespace sq::cuda {

constexpr uint32_t kWholeWarp = 0xffffffffu;

// In a block whose x is a multiple of a warp, and its only extent.
__device__ __forceinline__ int Lane() { return static_cast<int>(threadIdx.x % kLanes); }

}  // namespace sq::cuda
