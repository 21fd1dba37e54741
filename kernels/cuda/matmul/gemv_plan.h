// How a LUT-GEMV is divided, and by which instance of the kernel.
#pragma once

#include "kernels/cuda/matmul/lut_gemv.h"

namespace sq::cuda {

struct GemvPlan {
  int warps;         // of a block
  int64_t resident;  // blocks that a multiprocessor holds at once
  int64_t part_k_tiles, partials;
  dim3 grid;
  void (*launch)(const GemvArguments& arguments, dim3 grid, bool pdl, cudaStream_t stream);
};

// Of a layer of kBits, for up to GemvTokens tokens, or for one that a norm has left.
// lut_gemv_3bit.cu and lut_gemv_4bit.cu have these two, and with them the kernel's instances.
template <int kBits>
GemvPlan PlanGemv(const LayerView& layer, int64_t tokens, bool normed, const DeviceInfo& device);
// GemvTokens.
template <int kBits>
int64_t MaxGemvTokens(const DeviceInfo& device);

}  // namespace sq::cuda
