// Decoding of two weights by one look-up. Tables of all pairs of a row's entries lie in shared
// memory so that a lane reads only its own bank, whatever the indices. One byte permutation makes
// the address of a pair: its byte of the slice, shifted by 8, and 4 * the number of the bank.
#pragma once

#include "kernels/cuda/matmul/lut_gemv.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/warp.cuh"

namespace sq::cuda {

template <int kBits>
struct Codec {
  static constexpr unsigned kEntries = 1 << kBits;
  // A pair is a byte, the first in the lower nibble; at 3 bits half of the bytes are none.
  static constexpr unsigned kPairs = kEntries << 4;
  static constexpr unsigned kPairBytes = 256;  // from a pair's words to the next pair's
  static constexpr unsigned kBankBytes = kLanes * 4;
  static constexpr unsigned kTableBytes = kPairs * kPairBytes;

  // To be called for each K-step in order, once its vector has been read. Collects the bits of a
  // K-step without a vector in place of the first vector that has some of them. `k_step` must be a
  // compile-time constant after inlining, here and below.
  __device__ __forceinline__ static void Collect(uint32_t* vectors, int k_step) {
    if (kBits == 4) return;
    uint32_t* const words = vectors + 4 * VectorOf(kBits, k_step / 4 * 4);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (k_step % 4 == 1) {
        words[i] = (words[i] >> 3 & 0x55555555u) | (words[4 + i] >> 2 & 0xaaaaaaaau);
      } else if (k_step % 4 == 2) {
        words[i] = ((words[i] & 0x33333333u) | (words[8 + i] >> 1 & 0xccccccccu)) & 0x77777777u;
      }
    }
  }
  // The indices of slice `word` of a K-step, after Collect.
  __device__ __forceinline__ static uint32_t Slice(const uint32_t* vectors, int k_step, int word) {
    const uint32_t indices = vectors[4 * VectorOf(kBits, k_step) + word];
    return kBits == 3 && HasVector(kBits, k_step) ? indices & 0x77777777u : indices;
  }

  // The pair of byte `byte` of a slice from the table at `at`. Byte `which` of `banks`: 4 * the
  // number of the bank; as that is below 128, its sign is the rest of the address.
  template <int byte, int at, int which>
  __device__ __forceinline__ static uint32_t Pair(uint32_t slice, uint32_t banks) {
    return LoadShared<kSharedWindow + at>(Permute(slice, banks, 0xcc04 | which | byte << 4));
  }
};

// A tile's table entries in shared memory, from which both kinds of tables are built: those of a
// row in pieces of 8, [piece][row 32][8].
template <int kBits>
struct TileEntries {
  static constexpr unsigned kPieces = Codec<kBits>::kEntries / 8;
  static constexpr unsigned kBytes = kPieces * kTileRows * 16;

  // Starts the copies of a tile's entries to shared address `to`, by the block's first threads.
  __device__ __forceinline__ static void Fetch(const LayerView& layer, int tile, uint32_t to) {
    const unsigned i = threadIdx.x, row = i % kTileRows, piece = i / kTileRows;
    if (i >= kPieces * kTileRows) return;
    CopyToShared(to + i * 16, reinterpret_cast<const uint4*>(layer.table) +
                                  (static_cast<unsigned>(tile) * kTileRows + row) * kPieces +
                                  piece);
  }
  // Where entry `entry` of a row is.
  __device__ __forceinline__ static const unsigned char* At(const unsigned char* entries,
                                                            unsigned row, unsigned entry) {
    return entries + (entry / 8 * kTileRows + row) * 16 + entry % 8 * 2;
  }
};

// kCount entries of a row from `first` on, two a word.
template <int kBits, unsigned kCount>
__device__ __forceinline__ void ReadEntries(const unsigned char* entries, unsigned row,
                                            unsigned first, uint32_t (&words)[kCount / 2]) {
  const unsigned char* const at = TileEntries<kBits>::At(entries, row, first);
  if constexpr (kCount == 8) {
    const uint4 four = *reinterpret_cast<const uint4*>(at);
    words[0] = four.x, words[1] = four.y, words[2] = four.z, words[3] = four.w;
  } else if constexpr (kCount == 4) {
    const uint2 two = *reinterpret_cast<const uint2*>(at);
    words[0] = two.x, words[1] = two.y;
  } else {
    words[0] = *reinterpret_cast<const uint32_t*>(at);
  }
}
// The pair of two entries, each a half of a word.
__device__ __forceinline__ uint32_t MakePair(uint32_t first, bool first_upper, uint32_t second,
                                             bool second_upper) {
  return Permute(first, second, (first_upper ? 0x32u : 0x10u) | (second_upper ? 0x7600u : 0x5400u));
}

// A row's entries in registers, lower and upper bytes apart: for a part of the indices, so that the
// integer pipe has more to do and shared memory less.
template <int kBits>
struct RowInRegisters {
  static constexpr int kEights = (1 << kBits) / 8;  // of entries
  uint32_t lower[kEights][2], upper[kEights][2];

  // `entries`: TileEntries.
  __device__ __forceinline__ void Load(const unsigned char* entries, unsigned row) {
#pragma unroll
    for (int i = 0; i < kEights; ++i) {
      const uint4 four =
          *reinterpret_cast<const uint4*>(TileEntries<kBits>::At(entries, row, 8 * i));
      lower[i][0] = Permute(four.x, four.y, 0x6420), lower[i][1] = Permute(four.z, four.w, 0x6420);
      upper[i][0] = Permute(four.x, four.y, 0x7531), upper[i][1] = Permute(four.z, four.w, 0x7531);
    }
  }
  // The first four nibbles' weights, two a word.
  __device__ __forceinline__ void Decode(uint32_t indices, uint32_t* first,
                                         uint32_t* second) const {
    uint32_t low, high;
    if constexpr (kBits == 3) {
      low = Permute(lower[0][0], lower[0][1], indices);
      high = Permute(upper[0][0], upper[0][1], indices);
    } else {
      // A byte of ones where the nibble's upper bit is set: signs of bytes.
      const uint32_t second_half = Permute(indices << 4, indices, 0xd9c8),
                     of_eight = indices & 0x7777;
      const auto choose = [&](const uint32_t(&bytes)[kEights][2]) {
        return (Permute(bytes[0][0], bytes[0][1], of_eight) & ~second_half) |
               (Permute(bytes[1][0], bytes[1][1], of_eight) & second_half);
      };
      low = choose(lower);
      high = choose(upper);
    }
    *first = Permute(low, high, 0x5140);
    *second = Permute(low, high, 0x7362);
  }
};

// Tables where a bank is a row's: words [pair][row 32], of each pair the second half of its bytes
// left to others. A warp writes pairs of all rows, a lane its row's.
template <int kBits, unsigned kWarps>
__device__ __forceinline__ void BuildTablesOfRows(unsigned char* tables,
                                                  const unsigned char* entries) {
  using Pairs = Codec<kBits>;
  constexpr unsigned kFirsts = kBits == 4 || kWarps < 16 ? 8 : 4, kSeconds = 2;
  constexpr unsigned kParts = Pairs::kEntries / kFirsts;  // of the first entries
  constexpr unsigned kTasks = kParts * Pairs::kEntries / kSeconds;
  const auto lane = static_cast<unsigned>(Lane()), warp = static_cast<unsigned>(WarpOfBlock());
#pragma unroll
  for (unsigned begin = 0; begin < kTasks; begin += kWarps) {
    const unsigned task = begin + warp;
    if (kTasks < kWarps && task >= kTasks) return;
    const unsigned first = task % kParts * kFirsts, second = task / kParts * kSeconds;
    uint32_t firsts[kFirsts / 2], seconds[kSeconds / 2];
    ReadEntries<kBits, kFirsts>(entries, lane, first, firsts);
    ReadEntries<kBits, kSeconds>(entries, lane, second, seconds);
#pragma unroll
    for (unsigned j = 0; j < kSeconds; ++j) {
#pragma unroll
      for (unsigned i = 0; i < kFirsts; ++i) {
        *reinterpret_cast<uint32_t*>(tables + ((second + j) * 16 + first + i) * Pairs::kPairBytes +
                                     lane * 4) =
            MakePair(firsts[i / 2], i % 2 != 0, seconds[0], j != 0);
      }
    }
  }
}

// Where the lanes of a quad decode the same four rows, i < 4: which these are, as IndexRing brings
// them.
struct QuadRows {
  __device__ __forceinline__ static constexpr unsigned Row(unsigned g, unsigned i) {
    return 8 * i + g;
  }
  // What tells g and i of an outlier's place, and what is there then.
  static constexpr uint32_t kMaskOfG = 0xc1, kMaskOfI = 6;
  __device__ __forceinline__ static constexpr uint32_t PositionOfG(uint32_t g) {
    return g / 4 | g % 4 << 6;
  }
  __device__ __forceinline__ static constexpr uint32_t PositionOfI(uint32_t i) { return i << 1; }
};

// Tables for these: words [i / 2][pair][i % 2][lane 32], each four times as four lanes have the
// same row.
template <int kBits, unsigned kWarps>
__device__ __forceinline__ void BuildTablesOfQuads(unsigned char* tables,
                                                   const unsigned char* entries) {
  using Pairs = Codec<kBits>;
  constexpr unsigned kFirsts = kBits == 4 ? 8 : 4, kThreads = kWarps * kLanes;
  constexpr unsigned kParts = Pairs::kEntries / kFirsts;
  constexpr unsigned kTasks = kTileRows * Pairs::kEntries * kParts;
  static_assert(kTasks % kThreads == 0, "all threads alike");
#pragma unroll
  for (unsigned begin = 0; begin < kTasks; begin += kThreads) {
    // 8 lanes, 8 rows: their words lie side by side.
    const unsigned task = begin + threadIdx.x, g = task % 8, half = task / 8 % 2;
    const unsigned first = task / 16 % kParts * kFirsts;
    const unsigned second = task / (16 * kParts) % Pairs::kEntries;
    const unsigned two = task / (16 * kParts * Pairs::kEntries),
                   row = QuadRows::Row(g, 2 * two + half);
    uint32_t firsts[kFirsts / 2];
    ReadEntries<kBits, kFirsts>(entries, row, first, firsts);
    const uint32_t of_second =
        *reinterpret_cast<const uint16_t*>(TileEntries<kBits>::At(entries, row, second));
    unsigned char* const to = tables + two * Pairs::kTableBytes +
                              (second * 16 + first) * Pairs::kPairBytes + half * Pairs::kBankBytes +
                              g * 16;
#pragma unroll
    for (unsigned i = 0; i < kFirsts; ++i) {
      const uint32_t pair = MakePair(firsts[i / 2], i % 2 != 0, of_second, false);
      *reinterpret_cast<uint4*>(to + i * Pairs::kPairBytes) = {pair, pair, pair, pair};
    }
  }
}

}  // namespace sq::cuda
