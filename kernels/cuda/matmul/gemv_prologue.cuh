// The prologue of the LUT-GEMV: which K-tiles a warp takes, x on its way to shared memory, and the
// ring of asynchronous copies that brings the indices. The loop over them is in lut_gemv.cuh.
#pragma once

#include <type_traits>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/lut_gemv.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/warp.cuh"

namespace sq::cuda {

template <int value>
using Constant = std::integral_constant<int, value>;

// Calls body(Constant<0>()) to body(Constant<kCount - 1>()): a loop whose counter is a constant.
template <int kCount, int kFirst = 0, typename Body>
__device__ __forceinline__ void ForEachConstant(const Body& body) {
  if constexpr (kFirst < kCount) {
    body(Constant<kFirst>());
    ForEachConstant<kCount, kFirst + 1>(body);
  }
}

// The K-tiles of a tile that a warp takes, kWarps apart, and the step from one to the next, also to
// the first of the thread block's next tile.
template <int kBits, int kWarps>
struct WarpTiles {
  int first, count;
  int to_next_tile;  // from the indices of the last K-tile
  static constexpr int kKTileVectors = 2 * kBits * kLanes, kStride = kWarps * kKTileVectors;

  // k_tiles: of a row. blockIdx.y selects the part of them that the thread block takes.
  __device__ __forceinline__ WarpTiles(const GemvArguments& a, int k_tiles, int warp) {
    first = a.part_k_tiles * static_cast<int>(blockIdx.y) + warp;
    const int end = min(k_tiles, a.part_k_tiles * static_cast<int>(blockIdx.y + 1));
    count = max(0, end - first + kWarps - 1) / kWarps;
    to_next_tile = static_cast<int>(gridDim.x) * k_tiles * kKTileVectors - (count - 1) * kStride;
  }
  // The lane's first vector of indices of a tile.
  __device__ __forceinline__ const uint4* Begin(const LayerView& layer, int tile) const {
    const int64_t words = IndexWords(kBits, layer.padded_inputs, tile, first, Lane());
    return reinterpret_cast<const uint4*>(layer.indices + words);
  }
  __device__ __forceinline__ bool IsLast(int number) const { return number + 1 >= count; }
  // The same of the K-tile after the one at `indices`; `last`: that is the tile's last.
  __device__ __forceinline__ const uint4* Next(const uint4* indices, bool last) const {
    return indices + (last ? to_next_tile : kStride);
  }
};

// Stages x for one warp, kInputs at a time: global memory to registers to shared memory. kNormed:
// x is the input of a fused RMSNorm.
template <int kTokens, int kInputs, int kXStride, bool kNormed>
struct StagedX {
  static constexpr int kAtOnce = kNormed ? 4 : 8;  // of a load: fp32 or fp16
  static constexpr int kLoads = kTokens * kInputs / kAtOnce / kLanes;
  static_assert(!kNormed || kTokens == 1);
  uint4 words[kLoads];
  float root;  // of a norm's mean square: one over it

  // After WaitForPrevious and before Store: of a norm.
  __device__ __forceinline__ void FindRoot(const GemvArguments& a) {
    const int sums = static_cast<int>(NormSums(a.layer.inputs));
    float sum = 0;
    for (int i = 4 * Lane(); i < sums; i += 4 * kLanes) {
      const float4 four = *reinterpret_cast<const float4*>(a.norm.squares + i);
      sum += (four.x + four.y) + (four.z + four.w);
    }
    root = rsqrtf(LanesSum(sum) / static_cast<float>(a.layer.inputs) + a.norm.epsilon);
  }
  // Inputs [begin, begin + kInputs); 0 beyond the layer's inputs and the tokens that there are.
  __device__ __forceinline__ void Load(const GemvArguments& a, int begin) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const unsigned at = static_cast<unsigned>(Lane() + i * kLanes) * kAtOnce;
      const unsigned token = at / kInputs, column = static_cast<unsigned>(begin) + at % kInputs;
      const unsigned from = token * static_cast<unsigned>(a.x_stride) + column;
      words[i] = LoadIf(
          token < static_cast<unsigned>(a.tokens) && column < static_cast<unsigned>(a.layer.inputs),
          kNormed ? reinterpret_cast<const uint4*>(a.norm.weighted + column)
                  : reinterpret_cast<const uint4*>(a.x + from));
    }
  }
  __device__ __forceinline__ void Store(unsigned char* to) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const unsigned at = static_cast<unsigned>(Lane() + i * kLanes) * kAtOnce;
      unsigned char* const position = to + at / kInputs * kXStride + at % kInputs * 2;
      if constexpr (kNormed) {
        *reinterpret_cast<uint2*>(position) = {Normed(words[i].x, words[i].y),
                                               Normed(words[i].z, words[i].w)};
      } else {
        *reinterpret_cast<uint4*>(position) = words[i];
      }
    }
  }

 private:
  __device__ __forceinline__ uint32_t Normed(uint32_t first, uint32_t second) const {
    return PackHalves(__uint_as_float(first) * root, __uint_as_float(second) * root);
  }
};

// The cp.async ring of a warp's indices: kRing vectors (one load of each lane) in shared memory
// that belongs to the warp. The first kGapVectors use the gaps that tables of rows leave: 128 bytes
// of every 256. A lane reads what it has copied itself and needs no barrier, except with kOfQuads,
// where lane 4g + q reads slice q of rows 8i + g, i < 4, so that a warp reads 128 contiguous bytes.
template <int kBits, int kRing, int kGapVectors, bool kOfQuads>
struct IndexRing {
  static constexpr int kVectors = 2 * kBits;  // of a K-tile
  static constexpr int kVectorBytes = kLanes * 16, kGap = 128, kGapStride = 256;
  static constexpr int kGapBytes = kGapVectors * kVectorBytes / kGap * kGapStride;
  static constexpr int kBytes = (kRing - kGapVectors) * kVectorBytes;
  static_assert(kVectors % kRing == 0 && kGapVectors <= kRing);
  static_assert(!kOfQuads || kGapVectors == 0);
  uint32_t in_gaps, own;  // shared addresses of this lane's part
  uint32_t of_quad;       // and of what it reads

  __device__ __forceinline__ IndexRing(uint32_t gaps, uint32_t shared) {
    const auto lane = static_cast<uint32_t>(Lane());
    in_gaps = gaps + lane / 8 * kGapStride + lane % 8 * 16;
    own = shared + lane * 16;
    const uint32_t q = lane % 4, other = lane / 16 * 4 + (lane / 4 - q) % 4;
    of_quad = shared + other * 16 + q * 4;
  }
  template <int vector>
  __device__ __forceinline__ uint32_t Slot() const {
    constexpr int kSlot = vector % kRing;
    if constexpr (kSlot < kGapVectors) {
      return in_gaps + kSlot * kVectorBytes / kGap * kGapStride;
    } else {
      return own + (kSlot - kGapVectors) * kVectorBytes;
    }
  }
  // Vector `vector` of the K-tile at `at`.
  template <int vector>
  __device__ __forceinline__ void Fetch(bool wanted, const uint4* at) const {
    if (wanted) CopyToShared(Slot<vector>(), at + vector * kLanes);
  }
  // What there is room for of a K-tile, before any is taken; a group of copies each.
  template <int vector = 0>
  __device__ __forceinline__ void FetchFirst(bool wanted, const uint4* at) const {
    Fetch<vector>(wanted, at);
    CommitCopies();
    if constexpr (vector + 1 < kRing) FetchFirst<vector + 1>(wanted, at);
  }
  // Vector `vector` to words[4 * vector]; vectors are taken in order, and each is replaced, and the
  // copies committed, before the next is taken.
  template <int vector>
  __device__ __forceinline__ void Take(uint32_t* words) const {
    WaitForCopies<kRing - 1>();
    if constexpr (kOfQuads) {
      __syncwarp();
      constexpr int kAt = vector % kRing * kVectorBytes;
      words[4 * vector] = LoadShared<kAt>(of_quad);
      words[4 * vector + 1] = LoadShared<kAt + 128>(of_quad);
      words[4 * vector + 2] = LoadShared<kAt + 256>(of_quad);
      words[4 * vector + 3] = LoadShared<kAt + 384>(of_quad);
    } else {
      LoadSharedFour(Slot<vector>(), words + 4 * vector);
    }
  }
  // Vector `vector` of the K-tile at `at` has been taken: what comes in its position is of that
  // K-tile or of the next, at `ahead`, if there is one.
  template <int vector>
  __device__ __forceinline__ void Replace(const uint4* at, const uint4* ahead,
                                          bool is_ahead) const {
    if constexpr (kOfQuads) __syncwarp();  // all have read it
    if constexpr (vector + kRing < kVectors) {
      Fetch<vector + kRing>(true, at);
    } else {
      Fetch<(vector + kRing) % kVectors>(is_ahead, ahead);
    }
    CommitCopies();
  }
};

// Prefetches into L2 what a tile needs besides its indices, 32 bytes by each thread.
template <int kBits, int kTokens>
__device__ __forceinline__ void PrefetchTile(const GemvArguments& a, int tile, int k_tiles) {
  constexpr int kBytes = 32, kTables = kTileRows * (2 << kBits) / kBytes;
  constexpr int kScales = kTileRows * 4 / kBytes;
  const LayerView& layer = a.layer;
  const int first_row = tile * kTileRows;
  int part = static_cast<int>(threadIdx.x);
  const char* at = nullptr;
  if (part < kTables) {
    at = reinterpret_cast<const char*>(layer.table + (first_row << kBits));
  } else if ((part -= kTables) < kScales) {
    at = reinterpret_cast<const char*>(layer.row_scale + first_row);
  } else if ((part -= kScales) < kScales) {
    if (layer.bias != nullptr && first_row + part * (kBytes / 4) < layer.rows)
      at = reinterpret_cast<const char*>(layer.bias + first_row);
  } else if (kTokens == 1 && (part -= kScales) < kScales) {
    if (a.epilogue.norm.weight != nullptr && first_row + part * (kBytes / 4) < layer.rows)
      at = reinterpret_cast<const char*>(a.epilogue.norm.weight + first_row);
  } else if (layer.outlier_begin != nullptr) {
    part -= kScales;  // `K-tiles` of them, and one more, which tells where the last ends
    if ((part - 1) * (kBytes / 4) < k_tiles) {
      Prefetch(layer.outlier_begin + tile * k_tiles + min(part * (kBytes / 4), k_tiles));
    }
  }
  if (at != nullptr) Prefetch(at + part * kBytes);
}

}  // namespace sq::cuda
