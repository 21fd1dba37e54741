// The LUT-GEMV: 1 to 16 tokens by a packed layer, its outliers in the same launch.
#pragma once

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/tuning.h"

namespace sq::cuda {

constexpr int64_t kGemvTokens = 16;  // of one launch
constexpr int kGemvThreads = 512;    // of a thread block
constexpr int kGemvWarps = kGemvThreads / kLanes;

// What a launch takes. Work is divided into units of 64 rows by 256 inputs, numbered along the
// inputs first, and the units into as many equal stripes as there are thread blocks. Where several
// blocks share a group of 64 rows, each leaves its sums in `partials`, and the last one to arrive
// adds them up in the stripes' order.
struct GemvArguments {
  LayerView layer;
  // x: fp16 [tokens][x_stride], rows at multiples of 16 bytes; what counts is x * x_scale.
  const uint16_t* x;
  int64_t x_stride;
  int tokens;
  float x_scale;
  CudaMatrix y, add;  // add.data may be null
  float* partials;    // [stripes][2][64][tokens of the instance]
  unsigned* arrived;  // [groups of rows], zero between launches
};

// For at most 2^31 / stripes units, which RoomForGemv checks:
// units [StripeBegin(s), StripeBegin(s + 1)) of `total` are stripe s of `stripes`, and the stripe
// of a unit.
constexpr int StripeBegin(int stripe, int stripes, int total) { return stripe * total / stripes; }
constexpr int StripeOf(int unit, int stripes, int total) {
  return ((unit + 1) * stripes - 1) / total;
}

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
