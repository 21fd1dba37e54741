// 4 bits: two weights by one look-up. Shared memory holds for each of the block's 64 rows all 256
// pairs of table entries, word [pair][tile 2][lane 32]: a lane reads its own bank only, whatever
// the codes. A permutation makes the address of a pair: its byte of the code word, shifted by 8,
// and 4 * lane.
//
// Each lane decodes its own row of tile A and of tile B, four inputs at a time: fragments a0 a2 and
// a1 a3 of m16n8k16, whose 16 k-slots then are 4 inputs of 4 rows. B is block-diagonal to match:
// column n holds the inputs of token n / 4 in the k-slots of quad n % 4 alone. So of the 8 columns
// 4 are for one token, 4 for a second one.
#pragma once

#include "kernels/cuda/lut_gemv.h"
#include "kernels/cuda/ptx.cuh"

namespace sq::cuda {

template <int kTokens, bool kKnownWindow>
struct Codec4 {
  static constexpr int kTableBytes = 256 * 2 * kLanes * 4;
  static constexpr int kChunk = kTokens <= 2   ? 4096
                                : kTokens == 4 ? 2048
                                               : 1024;  // inputs of x in shared memory
  static constexpr int kAhead = 2;  // tasks of a warp whose codes are on their way
  static constexpr int kBlocks = kTokens <= 2 ? 2 : 1;         // that a multiprocessor has room for
  static constexpr int kTasksPerUnit = kUnit / kBlockInputs4;  // a task: one block of both tiles
  static constexpr int kPairs = (kTokens + 1) / 2;             // of tokens
  static constexpr int kSets =
      kPairs <= 2 ? 2 : 1;  // of accumulators, in turn, where one would wait for itself
  static constexpr int kWarpsPerRow = kGemvWarps;  // that have sums of one row
  static constexpr int kTileBytes = kLanes * 4;    // of a pair's words

  struct Codes {
    uint4 a, b;
  };

  float sums[kSets][kPairs][4];
  const uint4* codes;     // this lane's words of tile A, the segment's first block
  int tile_words;         // from tile A to tile B, in uint4
  uint32_t lane_address;  // 4 * lane
  uint32_t window;        // where shared memory begins
  // x of two products, for pairs of tokens in turn; zero for ever in lanes that have none.
  static constexpr int kBuffers = kPairs < 4 ? kPairs : 2;
  uint32_t b[kBuffers][4];
  bool mine;

  __device__ __forceinline__ void Start(const LayerView& layer, unsigned char* shared) {
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    lane_address = 4 * static_cast<uint32_t>(lane);
    window = SharedAddress(shared);
    tile_words = layer.padded_inputs / static_cast<int>(kBlockInputs4) * kLanes;
    mine = lane % 4 == lane / 4 % 4 && lane / 16 < kTokens;
#pragma unroll
    for (auto& buffer : b) {
#pragma unroll
      for (uint32_t& word : buffer) word = 0;
    }
  }

  // The first block of task 0 of the segment that begins with `unit` of `group`.
  __device__ __forceinline__ void Aim(const LayerView& layer, int group, int unit) {
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    codes = reinterpret_cast<const uint4*>(
        layer.codes + CodeWords4(layer.padded_inputs, 2 * group, unit * kTasksPerUnit, lane));
#pragma unroll
    for (int s = 0; s < kSets; ++s) {
#pragma unroll
      for (int p = 0; p < kPairs; ++p) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[s][p][i] = 0;
      }
    }
  }

  __device__ __forceinline__ Codes Load(int task) const {
    const uint4* at = codes + task * kLanes;
    return {LoadOnce(at), LoadOnce(at + tile_words)};
  }

  // Warp w writes the pairs whose upper code is w, of both tiles.
  __device__ __forceinline__ void BuildTable(const LayerView& layer, int group,
                                             unsigned char* shared) const {
    static_assert(kGemvWarps == 16, "a warp for each upper code");
    const int warp = static_cast<int>(threadIdx.x) / kLanes,
              lane = static_cast<int>(threadIdx.x) % kLanes;
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
      const uint16_t* table = layer.table + (group * kRowGroup + tile * kLanes + lane) * 16;
      const uint32_t upper = table[warp];
      const uint4* rows = reinterpret_cast<const uint4*>(table);
      uint32_t* words =
          reinterpret_cast<uint32_t*>(shared) + (warp * 16 * 2 + tile) * kLanes + lane;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint4 entries = rows[half];
        const uint32_t pairs[4] = {entries.x, entries.y, entries.z, entries.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          words[(8 * half + 2 * i) * 2 * kLanes] = Permute(pairs[i], upper, 0x5410);
          words[(8 * half + 2 * i + 1) * 2 * kLanes] = Permute(pairs[i], upper, 0x5432);
        }
      }
    }
  }

  // The pair of byte `byte` of a code word.
  template <int byte, int tile>
  __device__ __forceinline__ uint32_t Pair(uint32_t word) const {
    // Byte 0 is 4 * lane, byte 1 the pair, the rest zero.
    const uint32_t offset = Permute(word, lane_address, 0x5504 | byte << 4);
    if (kKnownWindow) return LoadShared<kSharedWindow + tile * kTileBytes>(offset);
    return LoadShared<tile * kTileBytes>(offset + window);
  }

  // 8 inputs of both tiles, by x at `x` (address in the window; of token 0, at these inputs).
  __device__ __forceinline__ void Multiply8(uint32_t code_a, uint32_t code_b, uint32_t x,
                                            uint32_t x_stride) {
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    x += static_cast<uint32_t>(lane) / 16 * x_stride;
    const uint32_t low[4] = {Pair<0, 0>(code_a), Pair<0, 1>(code_b), Pair<1, 0>(code_a),
                             Pair<1, 1>(code_b)};
    const uint32_t high[4] = {Pair<2, 0>(code_a), Pair<2, 1>(code_b), Pair<3, 0>(code_a),
                              Pair<3, 1>(code_b)};
#pragma unroll
    for (int p = 0; p < kPairs; ++p) {
      uint32_t(&now)[4] = b[p % kBuffers];
      LoadSharedIf(mine, x + 2 * p * x_stride, now);
      MultiplyAdd(sums[0][p], low, {now[0], now[1]});
      MultiplyAdd(sums[kSets - 1][p], high, {now[2], now[3]});
    }
  }

  // One task; x: of token 0, the first input of the chunk; task_in_chunk counts from there.
  __device__ __forceinline__ void Multiply(const Codes& loaded, int task_in_chunk, uint32_t x,
                                           uint32_t x_stride) {
    x += static_cast<uint32_t>(task_in_chunk) * (kBlockInputs4 * 2);
    Multiply8(loaded.a.x, loaded.b.x, x, x_stride);
    Multiply8(loaded.a.y, loaded.b.y, x + 16, x_stride);
    Multiply8(loaded.a.z, loaded.b.z, x + 32, x_stride);
    Multiply8(loaded.a.w, loaded.b.w, x + 48, x_stride);
  }

  // This warp's sums to out [kWarpsPerRow][64][kTokens].
  __device__ __forceinline__ void StoreSums(float* out) const {
    const int warp = static_cast<int>(threadIdx.x) / kLanes,
              lane = static_cast<int>(threadIdx.x) % kLanes;
    const int quad = lane % 4;
#pragma unroll
    for (int p = 0; p < kPairs; ++p) {
      const int token = 2 * p + quad / 2;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = i / 2 * kLanes + lane / 4 * 4 + quad % 2 * 2 + i % 2;
        const float sum = kSets == 2 ? sums[0][p][i] + sums[kSets - 1][p][i] : sums[0][p][i];
        if (token < kTokens) out[(warp * kRowGroup + row) * kTokens + token] = sum;
      }
    }
  }
};

}  // namespace sq::cuda
