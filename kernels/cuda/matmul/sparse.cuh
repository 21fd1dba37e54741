// The sparse part of the LUT-GEMV: a warp multiplies the outliers of its units of inputs itself, by
// tensor cores, into the sums that it has anyway. A product takes an octet (layout.h): A has the
// values, each in its row, B the inputs that they meet, from the warp's x in shared memory; so no
// input is read twice from farther away, and no sums of rows go from lane to lane. An octet costs
// some 20 to 40 instructions.
#pragma once

#include "kernels/cuda/matmul/lut_gemv.h"
#include "kernels/cuda/warp.cuh"

namespace sq::cuda {

// Octets of one tile and unit.
struct OctetRange {
  int32_t begin, end;
};

// Those of a tile for all units of a warp: lane i has its i-th, of which there are up to 32 (layers
// have up to 65536 inputs, blocks 8 warps or more).
struct OctetRanges {
  OctetRange own = {0, 0};

  // `count` units of the `units` of the tile: first, first + step, ..
  __device__ __forceinline__ void Load(const LayerView& layer, int tile, int units, int first,
                                       int step, int count) {
    own = {0, 0};
    if (Lane() >= count) return;
    const int32_t* const begin = layer.octet_begin + tile * units + first + Lane() * step;
    own = {begin[0], begin[1]};
  }
  __device__ __forceinline__ OctetRange Of(int number) const {
    return {__shfl_sync(kWholeWarp, own.begin, number), __shfl_sync(kWholeWarp, own.end, number)};
  }
};

// A warp's room in shared memory for octets of one tile, filled without passing through registers.
constexpr int kHeldOctets = 4;  // at 0.45 % a tile and unit has 2 or 3
constexpr int kHeldOctetBytes = kHeldOctets * kOctetBytes;

// The first octets of a range on their way there.
__device__ __forceinline__ void FetchOctets(const LayerView& layer, const OctetRange& range,
                                            uint32_t held) {
  constexpr int kLoads = kOctetBytes / 16;
  const int octet = Lane() / kLoads;
  if (octet < kHeldOctets && octet < range.end - range.begin) {
    CopyToShared(held + Lane() * 16, reinterpret_cast<const uint4*>(layer.octets) +
                                         int64_t{range.begin} * kLoads + Lane());
  }
}

// A warp's octets for kTiles tiles: where they are, of its units of a group of rows and of the next
// group; and the first of them, of the unit at work and of the next.
template <int kTiles>
struct HeldOutliers {
  static constexpr int kUnitBytes = kTiles * kHeldOctetBytes, kBytes = 2 * kUnitBytes;
  OctetRanges now[kTiles], next[kTiles];
  uint32_t held, next_held;  // shared addresses

  __device__ __forceinline__ explicit HeldOutliers(uint32_t shared)
      : held(shared), next_held(shared + kUnitBytes) {}
  __device__ __forceinline__ uint32_t Held(int tile) const {
    return held + static_cast<uint32_t>(tile * kHeldOctetBytes);
  }
  // The next group begins with tile `tile`; the units as OctetRanges has them.
  __device__ __forceinline__ void FindNext(const LayerView& layer, int tile, int units, int first,
                                           int step, int count) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) next[t].Load(layer, tile + t, units, first, step, count);
  }
  __device__ __forceinline__ void NextGroup() {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) now[t] = next[t];
  }
  // Those of the unit after unit `number` of this group, the first of the next group if it is the
  // last; where there is none, any, for nothing.
  __device__ __forceinline__ void FetchNext(const LayerView& layer, int number, bool last) const {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      FetchOctets(layer, last ? next[t].Of(0) : now[t].Of(number + 1),
                  next_held + static_cast<uint32_t>(t * kHeldOctetBytes));
    }
  }
  __device__ __forceinline__ void NextUnit() {
    const uint32_t free = held;
    held = next_held;
    next_held = free;
  }
};

// An octet's A and B for stages of kStage inputs of a unit.
template <int kStage>
struct OctetFragments {
  // Of the place: the row of 8, and what tells the stage.
  static constexpr uint32_t kWhere = 7 | (kUnitGroups - kStage / kGroupInputs) * 8;
  uint32_t words[2];  // of this lane's quad: values, places

  __device__ __forceinline__ explicit OctetFragments(uint32_t held) {
    const uint2 loaded = LoadSharedTwo(held + Lane() % 4 * 8);
    words[0] = loaded.x;
    words[1] = loaded.y;
  }
  // Rows g and g + 8 of the stage's.
  __device__ __forceinline__ void A(int stage, uint32_t (&a)[2]) const {
    const uint32_t where = static_cast<uint32_t>(Lane() / 4 + stage * (kStage / kGroupInputs) * 8);
    // The sign of each half is set where it is not of row g or g + 8 and the stage.
    const uint32_t others = ((words[1] & kWhere * 0x10001u) ^ where * 0x10001u) + 0x7fff7fffu;
    const uint32_t mine = words[0] & ~Permute(others, 0, 0xbb99);
    const uint32_t second = Permute(words[1], 0, 0xaa88);  // bit 7: of row g + 8
    a[0] = mine & ~second;
    a[1] = mine & second;
  }
  // Inputs of the token whose stage of x begins at shared address `x`.
  __device__ __forceinline__ uint32_t B(uint32_t x) const {
    const uint32_t inputs =
        kStage == kUnitInputs ? words[1] : words[1] & (kStage - 1) * 0x01000100u;
    return LoadSharedHalf(DotBytes(inputs, 2u << 8, x)) |
           LoadSharedHalf(DotBytes(inputs, 2u << 24, x)) << 16;
  }
};

}  // namespace sq::cuda
