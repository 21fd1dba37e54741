// The LUT-GEMV: 1 to 16 tokens by a packed layer, its outliers in the same launch.
#pragma once

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/tuning.h"

namespace sq::cuda {

constexpr int64_t kGemvTokens = 16;  // of one launch
#ifndef GV_THREADS
#define GV_THREADS 256
#define GV_BLOCKS 3
#define GV_QUEUE 2
#endif
constexpr int kGemvThreads = GV_THREADS;    // of a thread block
constexpr int kGemvWarps = kGemvThreads / kLanes;

// What a launch takes. Work is divided into items: one or more tiles of rows, and of their units of
// inputs one of `splits` parts. Where there are several, each leaves its sums in `partials`, and the
// last one to arrive adds them up in order.
struct GemvArguments {
  LayerView layer;
  // x: fp16 [tokens][x_stride], rows at multiples of 16 bytes; what counts is x * x_scale.
  const uint16_t* x;
  int64_t x_stride;
  int tokens;
  float x_scale;
  CudaMatrix y, add;  // add.data may be null
  float* partials;    // [items][rows of an item][tokens of the instance]
  unsigned* arrived;  // [items / splits], zero between launches
  int part_units;     // of an item, set by LutGemv
};

// Room that a launch needs. `arrived` must be zero before the first launch; launches leave it so.
struct GemvRoom {
  int64_t partials = 0;  // floats
  int64_t arrived = 0;   // counters
};
GemvRoom RoomForGemv(const LayerView& layer, int64_t tokens, const DeviceInfo& device);

// 1 to kGemvTokens tokens. With `overlap`, as LaunchShape says.
void LutGemv(const GemvArguments& arguments, const DeviceInfo& device, bool overlap,
             cudaStream_t stream);

}  // namespace sq::cuda
