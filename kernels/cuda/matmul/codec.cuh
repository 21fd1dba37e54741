// What codes stand for, two weights by one look-up. Shared memory holds for the 16 rows of a tile
// all pairs of table entries, word [pair][row half 2][lane 32]: a lane reads its own bank only,
// whatever the codes (four lanes have the same row, so each word lies there four times). A
// permutation makes the address of a pair: its byte of the step, shifted by 8, and 4 * lane; beside
// that, which of two buffers of tables.
#pragma once

#include "kernels/cuda/matmul/lut_gemv.h"
#include "kernels/cuda/ptx.cuh"

namespace sq::cuda {

template <int kBits>
struct Codec {
  static constexpr int kEntries = 1 << kBits;
  static constexpr int kHalfBytes = kLanes * 4;  // of a pair's words for one half of the rows
  static constexpr int kPairBytes = 2 * kHalfBytes;
  static constexpr int kTableBytes = kEntries * kEntries * kPairBytes;  // of a tile
  static constexpr uint32_t kBufferBytes = 1 << 16;  // that two buffers lie apart

  // A step of a group from its words.
  template <int step>
  __device__ __forceinline__ static uint32_t Step(const uint32_t* words) {
    if constexpr (kBits == 4) {
      return words[step];
    } else if constexpr (step < 3) {
      return words[step] & 0x3f3f3f3fu;
    } else {
      return (words[0] >> 6 & 0x03030303u) | (words[1] >> 4 & 0x0c0c0c0cu) |
             (words[2] >> 2 & 0x30303030u);
    }
  }

  // The pair of byte `byte` of a step, from the tables' tile `tile`. lane_address: 4 * lane, and
  // kBufferBytes for the second buffer.
  template <int byte, int tile>
  __device__ __forceinline__ static uint32_t Pair(uint32_t step, uint32_t lane_address) {
    // Byte 0 is 4 * lane, byte 1 the pair, byte 2 the buffer.
    const uint32_t offset = Permute(step, lane_address, 0x5604 | byte << 4);
    return LoadShared<kSharedWindow + tile * kTableBytes + byte % 2 * kHalfBytes>(offset);
  }
};

// A block's way from rows' tables to the tables of pairs, for kTiles tiles: each thread's entries
// on their way, then its pairs. A thread writes pairs of one row that have the same second code,
// each four times by 128 bits.
template <int kBits, int kTiles, unsigned kThreads>
struct TableBuilder {
  using Pairs = Codec<kBits>;
  static constexpr unsigned kEntries = Pairs::kEntries;
  static constexpr unsigned kPart = kBits == 4 ? 8 : kTiles * 1024 / kThreads;
  static constexpr unsigned kParts = kEntries / kPart;
  static constexpr unsigned kRounds = kTiles * kTileRows * kEntries * kParts / kThreads;
  static_assert(kTiles * kTileRows * kEntries * kParts % kThreads == 0, "all threads alike");
  uint32_t firsts[kRounds][kPart / 2];
  uint32_t second[kRounds];

  // What thread and round stand for. 8 lanes, 8 rows: their words lie side by side.
  struct Place {
    unsigned g, half, part, second, tile;
  };
  __device__ __forceinline__ static Place At(unsigned round) {
    const unsigned i = threadIdx.x + round * kThreads;
    return {i % 8, i / 8 % 2, i / 16 % kParts, i / (16 * kParts) % kEntries,
            i / (16 * kParts * kEntries)};
  }

  __device__ __forceinline__ void Load(const LayerView& layer, int tile) {
#pragma unroll
    for (unsigned round = 0; round < kRounds; ++round) {
      const Place at = At(round);
      const unsigned row = (static_cast<unsigned>(tile) + at.tile) * kTileRows + 8 * at.half + at.g;
      const uint16_t* entries = layer.table + row * kEntries;
      second[round] = entries[at.second];
      if constexpr (kPart == 8) {
        const uint4 four = *reinterpret_cast<const uint4*>(entries + at.part * kPart);
        firsts[round][0] = four.x, firsts[round][1] = four.y;
        firsts[round][2] = four.z, firsts[round][3] = four.w;
      } else if constexpr (kPart == 2) {
        firsts[round][0] = *reinterpret_cast<const uint32_t*>(entries + at.part * kPart);
      } else {
        const uint2 two = *reinterpret_cast<const uint2*>(entries + at.part * kPart);
        firsts[round][0] = two.x, firsts[round][1] = two.y;
      }
    }
  }

  __device__ __forceinline__ void Build(unsigned char* shared) const {
#pragma unroll
    for (unsigned round = 0; round < kRounds; ++round) {
      const Place at = At(round);
      unsigned char* to = shared + at.tile * Pairs::kTableBytes +
                          (at.second * kEntries + at.part * kPart) * Pairs::kPairBytes +
                          at.half * Pairs::kHalfBytes + at.g * 16;
#pragma unroll
      for (unsigned j = 0; j < kPart; ++j) {
        const uint32_t pair =
            Permute(firsts[round][j / 2], second[round], j % 2 == 0 ? 0x5410 : 0x5432);
        *reinterpret_cast<uint4*>(to + j * Pairs::kPairBytes) = {pair, pair, pair, pair};
      }
    }
  }
};

}  // namespace sq::cuda
