// The LUT-GEMV's way for one token where tensor cores multiply single bits (plane_gemv.cuh).
#pragma once

#include "kernels/cuda/matmul/lut_gemv.h"

namespace sq::cuda {

// How a layer's product is divided.
struct GemvPlan {
  int64_t groups = 0, part_units = 0, partials = 0;
  int64_t group_tiles = 0, tile_warps = 0, share_units = 0;  // of PlaneGemv
  dim3 grid;
};

GemvPlan PlanPlaneGemv(const LayerView& layer, const DeviceInfo& device);
// One token, with what the plan says.
void PlaneGemv(const GemvArguments& arguments, dim3 grid, bool overlap, cudaStream_t stream);

}  // namespace sq::cuda
