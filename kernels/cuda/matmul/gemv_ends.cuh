// What the LUT-GEMV reads from memory and writes there: inputs and codes on their way to a warp,
// and sums on their way to y. Its loop over them: lut_gemv.cuh.
#pragma once

#include <type_traits>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/lut_gemv.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/warp.cuh"

namespace sq::cuda {

template <int value>
using Constant = std::integral_constant<int, value>;

// A warp's units of a group of rows, kWarps apart, and its way from one to the next, also to those
// of the block's next group.
template <int kBits, int kTiles, int kWarps>
struct WarpUnits {
  struct At {
    int group, number;   // of the warp's units of the group
    const uint4* codes;  // the lane's
  };
  int first, count;
  int tile_stride, to_next_group;  // of codes
  static constexpr int kStride = kWarps * kBits * kLanes;

  // units: of a row. The block's part of them is blockIdx.y.
  __device__ __forceinline__ WarpUnits(const GemvArguments& a, int units, int warp) {
    first = a.part_units * static_cast<int>(blockIdx.y) + warp;
    const int end = min(units, a.part_units * static_cast<int>(blockIdx.y + 1));
    count = max(0, end - first + kWarps - 1) / kWarps;
    tile_stride = units * kBits * kLanes;
    to_next_group = static_cast<int>(gridDim.x) * kTiles * tile_stride - (count - 1) * kStride;
  }
  __device__ __forceinline__ At Begin(const LayerView& layer, int group) const {
    const int64_t words = CodeWords(kBits, layer.padded_inputs, group * kTiles, first, Lane());
    return {group, 0, reinterpret_cast<const uint4*>(layer.codes + words)};
  }
  __device__ __forceinline__ bool IsLast(int number) const { return number + 1 >= count; }
  __device__ __forceinline__ void Advance(At* at) const {
    const bool last = IsLast(at->number);
    at->codes += last ? to_next_group : kStride;
    at->number = last ? 0 : at->number + 1;
    at->group += last ? static_cast<int>(gridDim.x) : 0;
  }
};

// Inputs of x on their way to shared memory, for one warp.
template <int kTokens, int kStage, int kXStride>
struct StagedX {
  static constexpr int kAtOnce = 8;  // halves of a load
  static constexpr int kLoads = kTokens * kStage / kAtOnce / kLanes;
  uint4 words[kLoads];

  // Inputs [begin, begin + kStage); 0 beyond the layer's inputs and tokens.
  __device__ __forceinline__ void Load(const GemvArguments& a, int begin) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const unsigned at = (threadIdx.x % kLanes + i * kLanes) * kAtOnce;
      const unsigned token = at / kStage, column = static_cast<unsigned>(begin) + at % kStage;
      words[i] = {0, 0, 0, 0};
      if (token < static_cast<unsigned>(a.tokens) &&
          column < static_cast<unsigned>(a.layer.inputs)) {
        words[i] = *reinterpret_cast<const uint4*>(
            a.x + (token * static_cast<unsigned>(a.x_stride) + column));
      }
    }
  }
  __device__ __forceinline__ void Store(unsigned char* to) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const unsigned at = (threadIdx.x % kLanes + i * kLanes) * kAtOnce;
      *reinterpret_cast<uint4*>(to + at / kStage * kXStride + at % kStage * 2) = words[i];
    }
  }
};

// The codes of a warp's units, on their way through its own part of shared memory: a ring of kRing
// chunks a tile, where a chunk is what one load of a lane brings, and chunk c of a unit is first
// asked for by group c. A lane reads what it has copied itself: no barrier.
template <int kBits, int kTiles, int kRing>
struct CodeRing {
  static constexpr int kUnits = kRing < kBits ? 1 : kRing / kBits;  // that it is ahead
  static constexpr int kChunkBytes = kLanes * 16;
  static constexpr int kBytes = kTiles * kRing * kChunkBytes;
  static_assert(kBits % kRing == 0 || (kRing % kBits == 0 && kUnits <= 2));
  uint32_t own, other;  // shared addresses of this lane's part: of this unit and the next

  __device__ __forceinline__ explicit CodeRing(uint32_t shared) : own(shared) {
    own += static_cast<uint32_t>(Lane()) * 16;
    other = own + (kUnits - 1) * kTiles * kBits * kChunkBytes;
  }
  // To the next unit.
  __device__ __forceinline__ void Turn() {
    const uint32_t next = other;
    other = own;
    own = next;
  }
  template <int chunk>
  __device__ __forceinline__ static constexpr int Slot(int tile) {
    constexpr int kPart = kRing / kUnits;  // of a unit or of all
    return (tile * kPart + chunk % kPart) * kChunkBytes;
  }
  // Chunk `chunk` of the unit at `at`, for tiles that lie tile_stride apart.
  template <int chunk>
  __device__ __forceinline__ void Fetch(bool wanted, const uint4* at, int tile_stride) const {
    if (!wanted) return;
#pragma unroll
    for (int t = 0; t < kTiles; ++t)
      CopyToShared(own + Slot<chunk>(t), at + t * tile_stride + chunk * kLanes);
  }
  // What there is room for of a unit, before any is taken.
  __device__ __forceinline__ void FetchFirst(bool wanted, const uint4* at, int tile_stride) const {
    const auto fetch = [&](auto chunk) {
      constexpr int kChunk = decltype(chunk)::value;
      if constexpr (kChunk < kRing && kChunk < kBits) {
        Fetch<kChunk>(wanted, at, tile_stride);
        CommitCopies();
      }
    };
    fetch(Constant<0>());
    fetch(Constant<1>());
    fetch(Constant<2>());
    fetch(Constant<3>());
  }
  // Chunk `chunk` to words[tile][4 * chunk]; chunks are taken in order, and each is replaced, and
  // the copies committed, before the next is taken.
  template <int chunk>
  __device__ __forceinline__ void Take(uint32_t (&words)[kTiles][4 * kBits]) const {
    WaitForCopies<kRing - 1>();
#pragma unroll
    for (int t = 0; t < kTiles; ++t) LoadSharedFour(own + Slot<chunk>(t), words[t] + 4 * chunk);
  }
  // Chunk `chunk` of the unit at `at` has been taken: what comes in its place is of that unit or of
  // the one at `ahead`, kUnits later, if there is one.
  template <int chunk>
  __device__ __forceinline__ void Replace(const uint4* at, const uint4* ahead, bool is_ahead,
                                          int tile_stride) const {
    if constexpr (chunk + kRing < kBits) {
      Fetch<chunk + kRing>(true, at, tile_stride);
    } else {
      Fetch<(chunk + kRing) % kBits>(is_ahead, ahead, tile_stride);
    }
    CommitCopies();
  }
};

// What a group of rows needs beside its codes, from memory to the second-level cache: a thread
// takes 32 bytes. kTableBytes: of the group's tables as they lie there.
template <int kRows, int kTiles, int kTableBytes>
__device__ __forceinline__ void ExpectGroup(const GemvArguments& a, int group, int units) {
  constexpr int kBytes = 32, kTables = kTableBytes / kBytes, kScales = kRows * 4 / kBytes;
  const LayerView& layer = a.layer;
  const int first_row = group * kRows;
  int part = static_cast<int>(threadIdx.x);
  const char* at = nullptr;
  if (part < kTables) {
    at = reinterpret_cast<const char*>(layer.table) + int64_t{group} * kTableBytes;
  } else if ((part -= kTables) < kScales) {
    at = reinterpret_cast<const char*>(layer.row_scale + first_row);
  } else if ((part -= kScales) < kScales) {
    if (layer.bias != nullptr && first_row + part * (kBytes / 4) < layer.rows)
      at = reinterpret_cast<const char*>(layer.bias + first_row);
  } else if (layer.octet_begin != nullptr) {
    const int count = kTiles * units;  // and one more, which tells where the last ends
    part -= kScales;
    if ((part - 1) * (kBytes / 4) < count) {
      Prefetch(layer.octet_begin + group * count + min(part * (kBytes / 4), count));
    }
  }
  if (at != nullptr) Prefetch(at + part * kBytes);
}

// What turns a sum into an element of y, loaded ahead; nothing is done with it before the end.
struct Finish {
  float scale = 0, bias = 0, added = 0;

  // After WaitForPrevious, which `add` may be of.
  __device__ __forceinline__ void Load(const GemvArguments& a, int row, int token) {
    if (row >= a.layer.rows || token >= a.tokens) return;
    scale = a.layer.row_scale[row];
    if (a.layer.bias != nullptr) bias = a.layer.bias[row];
    if (a.add.data != nullptr) added = LoadElement(a.add, token, row);
  }
  __device__ __forceinline__ void Store(const GemvArguments& a, int row, int token,
                                        float sum) const {
    if (row >= a.layer.rows || token >= a.tokens) return;
    StoreElement(a.y, token, row, sum * (scale * a.x_scale) + (bias + added));
  }
};

// A group's values, of its rows and the instance's tokens, from its block's sums: to y, or added to
// those of the group's other parts first, by the last of these to arrive. Thread i < values has
// value i, which `own` is of. All threads must come. `last`: shared memory for it alone.
template <int kTokens>
__device__ __forceinline__ void FinishGroup(const GemvArguments& a, int group, int values,
                                            float sum, const Finish& own, int* last) {
  const int i = static_cast<int>(threadIdx.x);
  const auto finish = [&](float all) {
    own.Store(a, group * (values / kTokens) + i / kTokens, i % kTokens, all);
  };
  const int parts = static_cast<int>(gridDim.y), part = static_cast<int>(blockIdx.y);
  if (parts == 1) {
    if (i < values) finish(sum);
    return;
  }
  float* const sums = a.partials + static_cast<int64_t>(group) * parts * values;
  if (i < values) sums[part * values + i] = sum;
  __threadfence();
  __syncthreads();
  if (i == 0) *last = LastToArrive(a.arrived + group, parts);
  __syncthreads();
  if (*last == 0) return;
  __threadfence();
  if (i < values) {
    float all = 0;
    for (int p = 0; p < parts; ++p) all += LoadFresh(sums + p * values + i);
    finish(all);
  }
}

}  // namespace sq::cuda
