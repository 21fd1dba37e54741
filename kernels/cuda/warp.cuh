// A warp's lanes, where a warp works on one thing together.
#pragma once

#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/runtime.h"

namespace sq::cuda {

constexpr uint32_t kWholeWarp = 0xffffffffu;

// In a block whose x is a multiple of a warp, and its only extent.
__device__ __forceinline__ int Lane() { return static_cast<int>(threadIdx.x % kLanes); }
// The warp's number in it. The shuffle tells the compiler that it is one for all lanes: what comes
// of it then takes registers that a warp has once.
__device__ __forceinline__ int WarpOfBlock() {
  return __shfl_sync(kWholeWarp, static_cast<int>(threadIdx.x / kLanes), 0);
}

}  // namespace sq::cuda
