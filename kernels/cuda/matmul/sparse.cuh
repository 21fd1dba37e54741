// The sparse part of the LUT-GEMV: a warp multiplies the outliers of its units of inputs itself, by
// tensor cores, into the sums that it has anyway. A product takes a pack (layout.h): A has the
// values, each in its row, B the inputs that they meet, from the warp's x in shared memory; so no
// input is read twice from farther away, and no sums of rows go from lane to lane. A pack of 16
// costs some 30 instructions for one token, 60 to 90 for many.
#pragma once

#include "kernels/cuda/matmul/lut_gemv.h"
#include "kernels/cuda/warp.cuh"

namespace sq::cuda {

// Packs of one tile and unit.
struct PackRange {
  int32_t begin, end;
};

// Those of a tile for all units of a warp: lane i has its i-th, of which there are up to 32 (layers
// have up to 65536 inputs, blocks 8 warps or more).
struct PackRanges {
  PackRange own = {0, 0};

  // `count` units of the `units` of the tile: first, first + step, ..
  __device__ __forceinline__ void Load(const LayerView& layer, int tile, int units, int first,
                                       int step, int count) {
    own = {0, 0};
    if (Lane() >= count) return;
    const int32_t* const begin = layer.pack_begin + tile * units + first + Lane() * step;
    own = {begin[0], begin[1]};
  }
  __device__ __forceinline__ PackRange Of(int number) const {
    return {__shfl_sync(kWholeWarp, own.begin, number), __shfl_sync(kWholeWarp, own.end, number)};
  }
};

// A warp's packs: where they are, of its units of a tile and of the next; and the first of them, of
// the unit at work and of the next, in shared memory, filled without passing through registers.
struct HeldOutliers {
  static constexpr int kPacks = 4;  // at 0.45 % a tile and unit has 2 or 3
  static constexpr int kUnitBytes = kPacks * kPackBytes, kBytes = 2 * kUnitBytes;
  PackRanges now, next;
  uint32_t held;  // the shared address of those of the unit at work

  // shared: where they are, here and below.
  __device__ __forceinline__ explicit HeldOutliers(uint32_t shared) : held(shared) {}
  __device__ __forceinline__ uint32_t NextHeld(uint32_t shared) const {
    return 2 * shared + kUnitBytes - held;
  }
  // Those of the next tile; the units as PackRanges has them.
  __device__ __forceinline__ void FindNext(const LayerView& layer, int tile, int units, int first,
                                           int step, int count) {
    next.Load(layer, tile, units, first, step, count);
  }
  __device__ __forceinline__ void NextTile() { now = next; }
  // The first of a range on their way.
  __device__ __forceinline__ static void Fetch(const LayerView& layer, const PackRange& range,
                                               uint32_t to) {
    constexpr int kLoads = kPackBytes / 16;
    const int pack = Lane() / kLoads;
    if (pack < kPacks && pack < range.end - range.begin) {
      CopyToShared(to + Lane() * 16, reinterpret_cast<const uint4*>(layer.packs) +
                                         int64_t{range.begin} * kLoads + Lane());
    }
  }
  // Those of the unit after unit `number` of this tile, the first of the next tile if it is the
  // last; where there is none, any, for nothing.
  __device__ __forceinline__ void FetchNext(const LayerView& layer, int number, bool last,
                                            uint32_t shared) const {
    Fetch(layer, last ? next.Of(0) : now.Of(number + 1), NextHeld(shared));
  }
  __device__ __forceinline__ void NextUnit(uint32_t shared) { held = NextHeld(shared); }

  // Calls body(words) for each pack of unit `number`, with what a pack has for the lane's quad:
  // values and places of an octet, then of the other. more_stages: it will be called again for this
  // unit.
  template <typename Body>
  __device__ __forceinline__ void ForEach(const LayerView& layer, int number, bool more_stages,
                                          const Body& body) const {
    const PackRange range = now.Of(number);
    PackRange left = range;
    while (true) {
      const int32_t count = min(left.end - left.begin, kPacks);
      uint32_t at = held + static_cast<uint32_t>(Lane()) % 4 * 16, ahead[4];
      const uint32_t end = at + static_cast<uint32_t>(max(count - 1, 0)) * kPackBytes;
      LoadSharedFour(at, ahead);
#pragma unroll 1  // few at a time
      for (int32_t pack = 0; pack < count; ++pack) {
        const uint32_t words[4] = {ahead[0], ahead[1], ahead[2], ahead[3]};
        at = min(at + kPackBytes, end);  // the last again, for nothing
        LoadSharedFour(at, ahead);
        body(words);
      }
      left.begin += count;
      const bool more = left.begin < left.end;
      if (!more && (!more_stages || range.end - range.begin <= kPacks)) break;
      __syncwarp();  // they have been read
      Fetch(layer, {more ? left.begin : range.begin, range.end}, held);
      WaitForAllCopies();
      __syncwarp();
      if (!more) break;
    }
  }
};

// Masks for two outliers at once, in the halves of words: all bits of a half where `place` has what
// `wanted` has, of the bits of `mask` below bit 15.
__device__ __forceinline__ uint32_t WherePlace(uint32_t place, uint32_t mask, uint32_t wanted) {
  // The sign of each half is set where it is not so.
  const uint32_t others = ((place & mask * 0x10001u) ^ wanted * 0x10001u) + 0x7fff7fffu;
  return ~Permute(others, 0, 0xbb99);
}
// A's words: the values of stage `stage` of kStage inputs where `place` has `wanted` of `mask` too.
template <int kStage>
__device__ __forceinline__ uint32_t ValuesOf(uint32_t values, uint32_t places, uint32_t mask,
                                             uint32_t wanted, int stage) {
  constexpr uint32_t kMask = (kUnitInputs / kPlaceInputs - kStage / kPlaceInputs) * 8;
  const int of_stage = stage * (kStage / kPlaceInputs) * 8;
  return values & WherePlace(places, mask | kMask, wanted | static_cast<uint32_t>(of_stage));
}
// B's: inputs of the token whose stage of x begins at shared address x + of_lane; x is the same for
// all lanes.
template <int kStage>
__device__ __forceinline__ uint32_t InputsAt(uint32_t places, uint32_t x, uint32_t of_lane) {
  const uint32_t inputs = kStage == kUnitInputs ? places : places & (kStage - 1) * 0x01000100u;
  return LoadSharedHalf(DotBytes(inputs, 2u << 8, of_lane) + x) |
         LoadSharedHalf(DotBytes(inputs, 2u << 24, of_lane) + x) << 16;
}

}  // namespace sq::cuda
