// 3 bits: the 8 entries of a row's table lie in four registers, low bytes and high bytes apart, and
// two permutations look up four codes at once, two more make fp16 of the bytes: no memory at all.
// Fragments of m16n8k16 as they are, 16 rows a warp, columns are tokens.
#pragma once

#include "kernels/cuda/lut_gemv.h"
#include "kernels/cuda/ptx.cuh"

namespace sq::cuda {

template <int kTokens>
struct Codec3 {
  static constexpr int kTableBytes = 0;
  static constexpr int kChunk = kTokens <= 2   ? 4096
                                : kTokens <= 8 ? 2048
                                               : 1024;  // inputs of x in shared memory
  // Tasks of a warp whose codes are on their way, and thread blocks that a multiprocessor has room
  // for. 16 tokens leave no registers for more, and are bound by arithmetic.
  static constexpr int kAhead = kTokens == 1 || kTokens == 16 ? 1 : 2;
  static constexpr int kBlocks = kTokens == 1 ? 2 : 1;
  static constexpr int kTiles = kRowGroup / 16;       // of the block's rows
  static constexpr int kTasksPerUnit = kTiles;        // a task: a unit's inputs of one tile
  static constexpr int kColumns = (kTokens + 7) / 8;  // products a fragment
  // Of accumulators, in turn: with one block a multiprocessor too few warps hide how long a product
  // takes.
  static constexpr int kSets = kBlocks == 1 && kColumns == 1 ? 2 : 1;
  static constexpr int kWarpsPerRow = kGemvWarps / kTiles;  // that have sums of one row

  struct Codes {
    uint4 plane[3];
  };
  struct Table {
    uint32_t low[2], high[2];  // bytes of entries 0..3 and 4..7
  };

  float sums[kSets][kColumns][4];
  const uint4* codes;  // this lane's words of plane 0 of the segment's first unit, first tile
  int tile_words;      // from tile to tile, in uint4
  Table table[2];      // of rows g and g + 8 of this warp's tile
  uint32_t b[kColumns][4];
  bool mine[kColumns];

  __device__ __forceinline__ void Start(const LayerView& layer, unsigned char*) {
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    tile_words = layer.padded_inputs / kUnitInputs * 3 * kLanes;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      mine[c] = 8 * c + lane / 4 < kTokens;
#pragma unroll
      for (int i = 0; i < 4; ++i) b[c][i] = 0;
    }
  }

  __device__ __forceinline__ void Aim(const LayerView& layer, int group, int unit) {
    const int lane = static_cast<int>(threadIdx.x) % kLanes,
              tile = static_cast<int>(threadIdx.x) / kLanes % kTiles;
    codes = reinterpret_cast<const uint4*>(
        layer.codes + CodeWords3(layer.padded_inputs, group * kTiles, unit, 0, lane));
#pragma unroll
    for (int s = 0; s < kSets; ++s) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[s][c][i] = 0;
      }
    }
    const int row = group * kGroupRows + tile * 16 + lane / 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) table[half] = ReadTable(layer, row + 8 * half);
  }

  __device__ __forceinline__ Codes Load(int task) const {
    const uint4* at = codes + task % kTiles * tile_words + task / kTiles * (3 * kLanes);
    return {{LoadOnce(at), LoadOnce(at + kLanes), LoadOnce(at + 2 * kLanes)}};
  }

  __device__ __forceinline__ void BuildTable(const LayerView&, int, unsigned char*) const {}

  __device__ __forceinline__ static Table ReadTable(const LayerView& layer, int row) {
    const uint4 entries = reinterpret_cast<const uint4*>(layer.table)[row];
    return {{Permute(entries.x, entries.y, 0x6420), Permute(entries.z, entries.w, 0x6420)},
            {Permute(entries.x, entries.y, 0x7531), Permute(entries.z, entries.w, 0x7531)}};
  }

  // A group's words of the three planes as four words of 8 selectors, row g's in the lower halves.
  __device__ __forceinline__ static void Selectors(uint32_t w0, uint32_t w1, uint32_t w2,
                                                   uint32_t (&selectors)[4]) {
    constexpr uint32_t kCodes = 0x77777777, kBit = 0x11111111;
    constexpr int kAndOr = 0xf8;  // a | (b & c)
    selectors[0] = w0 & kCodes;
    selectors[1] = w1 & kCodes;
    selectors[2] = w2 & kCodes;
    selectors[3] = (w0 >> 3) & kBit;
    selectors[3] = Logic3<kAndOr>(selectors[3], w1 >> 2, 2 * kBit);
    selectors[3] = Logic3<kAndOr>(selectors[3], w2 >> 1, 4 * kBit);
  }

  // Four codes, nibbles 0..3 of `selector`, as two words of fp16.
  __device__ __forceinline__ static void Decode(const Table& table, uint32_t selector,
                                                uint32_t* first, uint32_t* second) {
    const uint32_t low = Permute(table.low[0], table.low[1], selector);
    const uint32_t high = Permute(table.high[0], table.high[1], selector);
    *first = Permute(low, high, 0x5140);
    *second = Permute(low, high, 0x7362);
  }

  // 16 inputs a quad of lanes together, 4 a lane, of both rows: `selectors` has row g in its lower
  // half.
  template <int odd>
  __device__ __forceinline__ void Multiply16(uint32_t selectors) {
    uint32_t a[4];
    Decode(table[0], selectors, &a[0], &a[2]);
    Decode(table[1], selectors >> 16, &a[1], &a[3]);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      MultiplyAdd(sums[kSets == 2 ? odd : 0][c], a, {b[c][2 * odd], b[c][2 * odd + 1]});
    }
  }

  // The 32 codes of a group: words of the three planes. x: address of this lane's 8 inputs, of the
  // first half.
  __device__ __forceinline__ void MultiplyGroup(uint32_t w0, uint32_t w1, uint32_t w2, uint32_t x,
                                                uint32_t x_stride) {
    uint32_t selectors[4];
    Selectors(w0, w1, w2, selectors);
    LoadX(x, x_stride);
    Multiply16<0>(selectors[0]);
    Multiply16<1>(selectors[1]);
    LoadX(x + 64, x_stride);
    Multiply16<0>(selectors[2]);
    Multiply16<1>(selectors[3]);
  }

  __device__ __forceinline__ void LoadX(uint32_t x, uint32_t x_stride) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) LoadSharedIf(mine[c], x + 8 * c * x_stride, b[c]);
  }

  __device__ __forceinline__ void Multiply(const Codes& loaded, int task_in_chunk, uint32_t x,
                                           uint32_t x_stride) {
    const uint32_t lane = threadIdx.x % kLanes;
    x += static_cast<uint32_t>(task_in_chunk / kTiles) * (kUnit * 2) + lane / 4 * x_stride +
         lane % 4 * 16;
    MultiplyGroup(loaded.plane[0].x, loaded.plane[1].x, loaded.plane[2].x, x, x_stride);
    MultiplyGroup(loaded.plane[0].y, loaded.plane[1].y, loaded.plane[2].y, x + 128, x_stride);
    MultiplyGroup(loaded.plane[0].z, loaded.plane[1].z, loaded.plane[2].z, x + 256, x_stride);
    MultiplyGroup(loaded.plane[0].w, loaded.plane[1].w, loaded.plane[2].w, x + 384, x_stride);
  }

  // This warp's sums to out [kWarpsPerRow][64][kTokens].
  __device__ __forceinline__ void StoreSums(float* out) const {
    const int warp = static_cast<int>(threadIdx.x) / kLanes,
              lane = static_cast<int>(threadIdx.x) % kLanes;
    const int tile = warp % kTiles, part = warp / kTiles;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = tile * 16 + i / 2 * 8 + lane / 4, token = 8 * c + lane % 4 * 2 + i % 2;
        const float sum = kSets == 2 ? sums[0][c][i] + sums[kSets - 1][c][i] : sums[0][c][i];
        if (token < kTokens) out[(part * kRowGroup + row) * kTokens + token] = sum;
      }
    }
  }
};

}  // namespace sq::cuda
