// The sparse part of the LUT-GEMV. A warp multiplies the outliers of its K-tiles by tensor cores
// into the accumulators of its dense part. A product takes half a block or a block of 16 outliers
// (layout.h): A has the values, each in its row, and B the inputs that they meet, read from the
// warp's x in shared memory. No input is read from global memory again, and no sum moves between
// lanes. A block costs about 30 instructions for one token and 60 to 90 for many.
#pragma once

#include "kernels/cuda/matmul/lut_gemv.h"
#include "kernels/cuda/warp.cuh"

namespace sq::cuda {

// Outlier blocks of one tile and K-tile.
struct OutlierRange {
  int32_t begin, end;
};

// The ranges of a tile for all K-tiles of a warp, the i-th in lane i. There are at most 32: layers
// have up to 65536 inputs, thread blocks at least 8 warps.
struct OutlierRanges {
  OutlierRange own = {0, 0};

  // `count` of the tile's `k_tiles` K-tiles: first, first + step, ..
  __device__ __forceinline__ void Load(const LayerView& layer, int tile, int k_tiles, int first,
                                       int step, int count) {
    own = {0, 0};
    if (Lane() >= count) return;
    const int32_t* const begin = layer.outlier_begin + tile * k_tiles + first + Lane() * step;
    own = {begin[0], begin[1]};
  }
  __device__ __forceinline__ OutlierRange Of(int number) const {
    return {__shfl_sync(kWholeWarp, own.begin, number), __shfl_sync(kWholeWarp, own.end, number)};
  }
};

// A warp's outlier blocks: the ranges for its K-tiles of the current and the next tile, and the
// first few blocks of the current and the next K-tile in shared memory, brought there by cp.async.
struct HeldOutliers {
  static constexpr int kHeldBlocks = 4;  // 0.45 % of outliers give 2 or 3 blocks
  static constexpr int kTileBytes = kHeldBlocks * kOutlierBlockBytes, kBytes = 2 * kTileBytes;
  OutlierRanges now, next;
  uint32_t held;  // shared address of the current K-tile's blocks

  // `shared`, here and below: the shared address of both buffers.
  __device__ __forceinline__ explicit HeldOutliers(uint32_t shared) : held(shared) {}
  __device__ __forceinline__ uint32_t NextHeld(uint32_t shared) const {
    return 2 * shared + kTileBytes - held;
  }
  // Loads the ranges of the next tile; arguments as of OutlierRanges::Load.
  __device__ __forceinline__ void FindNext(const LayerView& layer, int tile, int k_tiles, int first,
                                           int step, int count) {
    next.Load(layer, tile, k_tiles, first, step, count);
  }
  __device__ __forceinline__ void NextTile() { now = next; }
  // Starts the copies of the first blocks of a range.
  __device__ __forceinline__ static void Fetch(const LayerView& layer, const OutlierRange& range,
                                               uint32_t to) {
    constexpr int kLoads = kOutlierBlockBytes / 16;
    const int block = Lane() / kLoads;
    if (block < kHeldBlocks && block < range.end - range.begin) {
      CopyToShared(to + Lane() * 16, reinterpret_cast<const uint4*>(layer.outlier_blocks) +
                                         int64_t{range.begin} * kLoads + Lane());
    }
  }
  // Starts the copies for the K-tile after K-tile `number`: the first of the next tile after the
  // last. Where there is none, whatever is copied is ignored.
  __device__ __forceinline__ void FetchNext(const LayerView& layer, int number, bool last,
                                            uint32_t shared) const {
    Fetch(layer, last ? next.Of(0) : now.Of(number + 1), NextHeld(shared));
  }
  __device__ __forceinline__ void NextKTile(uint32_t shared) { held = NextHeld(shared); }

  // Calls body(words) for each outlier block of K-tile `number` with the words of the lane's place
  // in its quad: values and positions of the first half, then of the second. more_stages: the
  // function will be called again for this K-tile.
  template <typename Body>
  __device__ __forceinline__ void ForEach(const LayerView& layer, int number, bool more_stages,
                                          const Body& body) const {
    const OutlierRange range = now.Of(number);
    OutlierRange left = range;
    while (true) {
      const int32_t count = min(left.end - left.begin, kHeldBlocks);
      uint32_t at = held + static_cast<uint32_t>(Lane()) % 4 * 16, ahead[4];
      const uint32_t end = at + static_cast<uint32_t>(max(count - 1, 0)) * kOutlierBlockBytes;
      LoadSharedFour(at, ahead);
#pragma unroll 1  // unrolling would need more registers
      for (int32_t block = 0; block < count; ++block) {
        const uint32_t words[4] = {ahead[0], ahead[1], ahead[2], ahead[3]};
        at = min(at + kOutlierBlockBytes, end);  // after the last block a dummy load
        LoadSharedFour(at, ahead);
        body(words);
      }
      left.begin += count;
      const bool more = left.begin < left.end;
      if (!more && (!more_stages || range.end - range.begin <= kHeldBlocks)) break;
      __syncwarp();  // all lanes have read the blocks
      Fetch(layer, {more ? left.begin : range.begin, range.end}, held);
      WaitForAllCopies();
      __syncwarp();
      if (!more) break;
    }
  }
};

// Masks for two outliers at once, in the halves of words: all bits of a half where `position` has
// what `wanted` has, of the bits of `mask` below bit 15.
__device__ __forceinline__ uint32_t WherePosition(uint32_t position, uint32_t mask,
                                                  uint32_t wanted) {
  // The sign of each half is set where it is not so.
  const uint32_t others = ((position & mask * 0x10001u) ^ wanted * 0x10001u) + 0x7fff7fffu;
  return ~Permute(others, 0, 0xbb99);
}
// A's words: the values of stage `stage` of kStage inputs where `position` has `wanted` of `mask`
// too.
template <int kStage>
__device__ __forceinline__ uint32_t ValuesOf(uint32_t values, uint32_t positions, uint32_t mask,
                                             uint32_t wanted, int stage) {
  constexpr uint32_t kMask = (kTileInputs / kPositionInputs - kStage / kPositionInputs) * 8;
  const int of_stage = stage * (kStage / kPositionInputs) * 8;
  return values & WherePosition(positions, mask | kMask, wanted | static_cast<uint32_t>(of_stage));
}
// B's: inputs of the token whose stage of x begins at shared address x + of_lane; x is the same for
// all lanes.
template <int kStage>
__device__ __forceinline__ uint32_t InputsAt(uint32_t positions, uint32_t x, uint32_t of_lane) {
  const uint32_t inputs =
      kStage == kTileInputs ? positions : positions & (kStage - 1) * 0x01000100u;
  return LoadSharedHalf(DotBytes(inputs, 2u << 8, of_lane) + x) |
         LoadSharedHalf(DotBytes(inputs, 2u << 24, of_lane) + x) << 16;
}

}  // namespace sq::cuda
