// The LUT-GEMV: 1 to 16 tokens by a packed layer, its outliers in the same launch.
#pragma once

#include "kernels/cuda/device_info.h"
#include "kernels/cuda/matmul/kernels.h"

namespace sq::cuda {

// Tokens that one launch takes at most: 16, or 8 on devices with less shared memory than many
// tokens' tables need.
int64_t GemvTokens(const LayerView& layer, const DeviceInfo& device);

// What a launch takes. Work is divided into tiles of rows, and where these are few, their K-tiles
// of inputs into parts. Each part then leaves its sums in `partials`, and the last one to arrive
// adds them up in order.
struct GemvArguments {
  LayerView layer;
  // x: fp16 [tokens][x_stride], rows at multiples of 16 bytes; what counts is x * x_scale.
  const uint16_t* x;
  int64_t x_stride;
  FusedNorm norm;  // if there is one, what it left instead of x; x_stride 0
  int tokens;
  float x_scale;
  CudaMatrix y;
  Epilogue epilogue;
  float* partials;    // [tiles][parts][rows of a tile][tokens of the instance]
  unsigned* arrived;  // [tiles], zero between launches
  int part_k_tiles;   // K-tiles of a part; set by LutGemv
};

// Room that a launch needs. `arrived` must be zero before the first launch; launches leave it so.
struct GemvRoom {
  int64_t partials = 0;  // floats
  int64_t arrived = 0;   // counters
};
GemvRoom RoomForGemv(const LayerView& layer, int64_t tokens, const DeviceInfo& device);

// 1 to GemvTokens tokens. With `pdl`, as LaunchShape says.
void LutGemv(const GemvArguments& arguments, const DeviceInfo& device, bool pdl,
             cudaStream_t stream);

}  // namespace sq::cuda
