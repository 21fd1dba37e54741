// Sums and maxima over a warp or a block, in an order that depends on the number of threads alone.
#pragma once

#include "kernels/cuda/warp.cuh"

namespace sq::cuda {

// Over lanes that differ in bits `least`, 2 least, .. below `end` of their number; every lane gets
// it.
__device__ __forceinline__ float LanesSum(float value, int least = 1, int end = kLanes) {
  for (int bit = least; bit < end; bit *= 2) value += __shfl_xor_sync(kWholeWarp, value, bit);
  return value;
}
__device__ __forceinline__ float LanesMax(float value) {
  for (int bit = 1; bit < kLanes; bit *= 2) {
    value = fmaxf(value, __shfl_xor_sync(kWholeWarp, value, bit));
  }
  return value;
}

// Over a block of whole warps in x. All threads must come; every one gets the sum.
__device__ inline float BlockSum(float value) {
  __shared__ float of_warp[kLanes];
  const int lane = Lane(), warp = WarpOfBlock();
  const int warps = static_cast<int>(blockDim.x) / kLanes;
  value = LanesSum(value);
  if (warps == 1) return value;
  __syncthreads();  // nobody still reads the last sum's
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  return LanesSum(lane < warps ? of_warp[lane] : 0);
}

// Whether this is the last of `count` to come here with this counter, which is zero before the
// first and after the last. For one thread of a block: writes of all before it, for others to read,
// must be fenced and the block's threads have met.
__device__ __forceinline__ bool LastToArrive(unsigned* counter, int count) {
  const auto others = static_cast<unsigned>(count - 1);
  return atomicInc(counter, others) == others;
}

}  // namespace sq::cuda
