#include "kernels/cuda/tuning.h"

namespace sq::cuda {
namespace {

// No row is measured yet: all are what counting says (README.md), and that launches only
// overlap from 9.0 on.
constexpr GemvTuning kTunings[] = {
    {80, 16, 2, 2},  // A100: 164 KB of shared memory; room for one block of 16 warps, at 3 bits two
    {86, 8, 2, 1},   // 100 KB: one block of 8 warps, at 3 bits two
    {90, 16, 2, 1},  // H100, H200: 228 KB, two blocks of 16
    {100, 16, 2, 1},  // B200: the same
    {120, 8, 2, 1},   // 100 KB again
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
