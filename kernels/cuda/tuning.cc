#include "kernels/cuda/tuning.h"

namespace sq::cuda {
namespace {

// Rows follow from counting, not from measurements. A multiprocessor should hold at least two
// blocks, so that one builds its lookup tables or adds up its sums while another streams indices.
// Blocks for one token that fit, by compute capability, shared memory of a multiprocessor, and the
// width and warps of the kernel (LutGemv.TuningLeavesRoomForTwoBlocks computes them):
//
//                           3 bits, 16 warps    8   4 bits, 16 warps    8
//   8.0         164 KB             2            3          1            2
//   8.6, 12.0   100 KB             1            2          0            1
//   9.0, 10.0   228 KB             2            3          2            3
//
// Inputs are divided into more parts on 8.0, where launches do not overlap.
constexpr GemvTuning kTunings[] = {
    {80, {16, 8}, 2, 2},    // A100
    {86, {8, 8}, 2, 1},     // RTX 30
    {90, {16, 16}, 2, 1},   // H100, H200
    {100, {16, 16}, 2, 1},  // B200
    {120, {8, 8}, 2, 1},    // RTX 50
};

}  // namespace

GemvTuning TuningFor(const Capability& capability) {
  GemvTuning found = kTunings[0];
  for (const GemvTuning& tuning : kTunings) {
    if (tuning.architecture <= 10 * capability.major + capability.minor) found = tuning;
  }
  return found;
}

}  // namespace sq::cuda
