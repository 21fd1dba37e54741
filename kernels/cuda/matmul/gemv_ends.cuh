// What the LUT-GEMV reads from memory and writes there: inputs and codes on their way to a warp,
// and sums on their way to y. Its loop over them: lut_gemv.cuh.
#pragma once

#include <type_traits>

#include "kernels/cuda/activation.cuh"
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

// A warp's units of a tile, kWarps apart, and its way from one to the next, also to the first of
// the block's next tile.
template <int kBits, int kWarps>
struct WarpUnits {
  int first, count;
  int to_next_tile;  // from the last one's codes
  static constexpr int kUnit = 2 * kBits * kLanes, kStride = kWarps * kUnit;

  // units: of a row. The block's part of them is blockIdx.y.
  __device__ __forceinline__ WarpUnits(const GemvArguments& a, int units, int warp) {
    first = a.part_units * static_cast<int>(blockIdx.y) + warp;
    const int end = min(units, a.part_units * static_cast<int>(blockIdx.y + 1));
    count = max(0, end - first + kWarps - 1) / kWarps;
    to_next_tile = static_cast<int>(gridDim.x) * units * kUnit - (count - 1) * kStride;
  }
  // The lane's codes of the first unit of a tile.
  __device__ __forceinline__ const uint4* Begin(const LayerView& layer, int tile) const {
    const int64_t words = CodeWords(kBits, layer.padded_inputs, tile, first, Lane());
    return reinterpret_cast<const uint4*>(layer.codes + words);
  }
  __device__ __forceinline__ bool IsLast(int number) const { return number + 1 >= count; }
  // Of the unit after one, which is the tile's last or not.
  __device__ __forceinline__ const uint4* Next(const uint4* codes, bool last) const {
    return codes + (last ? to_next_tile : kStride);
  }
};

// Inputs of x on their way to shared memory, for one warp, kInputs at once. kNormed: from what a
// norm left.
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
      unsigned char* const place = to + at / kInputs * kXStride + at % kInputs * 2;
      if constexpr (kNormed) {
        *reinterpret_cast<uint2*>(place) = {Normed(words[i].x, words[i].y),
                                            Normed(words[i].z, words[i].w)};
      } else {
        *reinterpret_cast<uint4*>(place) = words[i];
      }
    }
  }

 private:
  __device__ __forceinline__ uint32_t Normed(uint32_t first, uint32_t second) const {
    return PackHalves(__uint_as_float(first) * root, __uint_as_float(second) * root);
  }
};

// The codes of a warp's units, on their way through shared memory that is its own: a ring of kRing
// chunks, where a chunk is what one load of a lane brings. The first kGapChunks lie in gaps of 128
// bytes that are 256 apart. A lane reads what it has copied itself: no barrier. But with kOfQuads
// lane 4g+q reads step q of rows 8i+g, i < 4: the warp 128 bytes that lie together.
template <int kBits, int kRing, int kGapChunks, bool kOfQuads>
struct CodeRing {
  static constexpr int kChunks = 2 * kBits;  // of a unit
  static constexpr int kChunkBytes = kLanes * 16, kGap = 128, kGapStride = 256;
  static constexpr int kGapBytes = kGapChunks * kChunkBytes / kGap * kGapStride;
  static constexpr int kBytes = (kRing - kGapChunks) * kChunkBytes;
  static_assert(kChunks % kRing == 0 && kGapChunks <= kRing);
  static_assert(!kOfQuads || kGapChunks == 0);
  uint32_t in_gaps, own;  // shared addresses of this lane's part
  uint32_t of_quad;       // and of what it reads

  __device__ __forceinline__ CodeRing(uint32_t gaps, uint32_t shared) {
    const auto lane = static_cast<uint32_t>(Lane());
    in_gaps = gaps + lane / 8 * kGapStride + lane % 8 * 16;
    own = shared + lane * 16;
    const uint32_t q = lane % 4, other = lane / 16 * 4 + (lane / 4 - q) % 4;
    of_quad = shared + other * 16 + q * 4;
  }
  template <int chunk>
  __device__ __forceinline__ uint32_t Slot() const {
    constexpr int kSlot = chunk % kRing;
    if constexpr (kSlot < kGapChunks) {
      return in_gaps + kSlot * kChunkBytes / kGap * kGapStride;
    } else {
      return own + (kSlot - kGapChunks) * kChunkBytes;
    }
  }
  // Chunk `chunk` of the unit at `at`.
  template <int chunk>
  __device__ __forceinline__ void Fetch(bool wanted, const uint4* at) const {
    if (wanted) CopyToShared(Slot<chunk>(), at + chunk * kLanes);
  }
  // What there is room for of a unit, before any is taken; a group of copies each.
  template <int chunk = 0>
  __device__ __forceinline__ void FetchFirst(bool wanted, const uint4* at) const {
    Fetch<chunk>(wanted, at);
    CommitCopies();
    if constexpr (chunk + 1 < kRing) FetchFirst<chunk + 1>(wanted, at);
  }
  // Chunk `chunk` to words[4 * chunk]; chunks are taken in order, and each is replaced, and the
  // copies committed, before the next is taken.
  template <int chunk>
  __device__ __forceinline__ void Take(uint32_t* words) const {
    WaitForCopies<kRing - 1>();
    if constexpr (kOfQuads) {
      __syncwarp();
      constexpr int kAt = chunk % kRing * kChunkBytes;
      words[4 * chunk] = LoadShared<kAt>(of_quad);
      words[4 * chunk + 1] = LoadShared<kAt + 128>(of_quad);
      words[4 * chunk + 2] = LoadShared<kAt + 256>(of_quad);
      words[4 * chunk + 3] = LoadShared<kAt + 384>(of_quad);
    } else {
      LoadSharedFour(Slot<chunk>(), words + 4 * chunk);
    }
  }
  // Chunk `chunk` of the unit at `at` has been taken: what comes in its place is of that unit or of
  // the next, at `ahead`, if there is one.
  template <int chunk>
  __device__ __forceinline__ void Replace(const uint4* at, const uint4* ahead,
                                          bool is_ahead) const {
    if constexpr (kOfQuads) __syncwarp();  // all have read it
    if constexpr (chunk + kRing < kChunks) {
      Fetch<chunk + kRing>(true, at);
    } else {
      Fetch<(chunk + kRing) % kChunks>(is_ahead, ahead);
    }
    CommitCopies();
  }
};

// What a tile needs beside its codes, from memory to the second-level cache: a thread takes 32
// bytes.
template <int kBits, int kTokens>
__device__ __forceinline__ void ExpectTile(const GemvArguments& a, int tile, int units) {
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
    if (a.end.norm.weight != nullptr && first_row + part * (kBytes / 4) < layer.rows)
      at = reinterpret_cast<const char*>(a.end.norm.weight + first_row);
  } else if (layer.pack_begin != nullptr) {
    part -= kScales;  // `units` of them, and one more, which tells where the last ends
    if ((part - 1) * (kBytes / 4) < units) {
      Prefetch(layer.pack_begin + tile * units + min(part * (kBytes / 4), units));
    }
  }
  if (at != nullptr) Prefetch(at + part * kBytes);
}

// A tile's values, of its rows and kTokens tokens, from its block's sums to y.
template <int kTokens, int kThreads>
struct TileEnd {
  static constexpr int kValues = kTileRows * kTokens;
  static constexpr int kOfThread = (kValues + kThreads - 1) / kThreads;
  // What turns a sum into an element of y, on its way while the block's sums come together.
  float scale[kOfThread] = {}, bias[kOfThread] = {}, added[kOfThread] = {};
  float weight = 0;  // of a norm that comes after it

  template <typename Body>
  __device__ __forceinline__ static void ForEach(const Body& body) {
#pragma unroll
    for (int v = 0; v < kOfThread; ++v) {
      const int i = v * kThreads + static_cast<int>(threadIdx.x);
      if (i < kValues) body(v, i);
    }
  }
  __device__ __forceinline__ static bool IsWanted(const GemvArguments& a, int tile, int i) {
    return tile * kTileRows + i / kTokens < a.layer.rows && i % kTokens < a.tokens;
  }

  // After WaitForPrevious, which `add` may be of.
  __device__ __forceinline__ void Load(const GemvArguments& a, int tile) {
    ForEach([&](int v, int i) {
      if (!IsWanted(a, tile, i)) return;
      const int row = tile * kTileRows + i / kTokens;
      scale[v] = a.layer.row_scale[row];
      if (a.layer.bias != nullptr) bias[v] = a.layer.bias[row];
      if (a.end.add.data != nullptr) added[v] = LoadElement(a.end.add, i % kTokens, row);
      if (kTokens == 1 && a.end.norm.weight != nullptr) weight = a.end.norm.weight[row];
    });
  }
  // All lanes of the warp must come.
  __device__ __forceinline__ void Store(const GemvArguments& a, int tile, int v, int i,
                                        float sum) const {
    float value = sum * (scale[v] * a.x_scale) + (bias[v] + added[v]);
    int row = tile * kTileRows + i / kTokens;
    const bool wanted = IsWanted(a, tile, i);
    if (a.end.gated) {
      value = Gate(a.end.gating, value, __shfl_xor_sync(kWholeWarp, value, kTokens));
      if (row % 2 != 0) return;
      row /= 2;
    }
    if (wanted) StoreElement(a.y, i % kTokens, row, value);
    if (kTokens == 1 && a.end.norm.weight != nullptr) {  // the tile's rows are the warp's lanes
      if (wanted) a.end.norm.weighted[row] = value * weight;
      const float squares = LanesSum(wanted ? value * value : 0);
      if (i == 0) a.end.norm.squares[tile] = squares;
    }
  }
  // To y, or added to those of the tile's other parts first, by the last of these to arrive.
  // sum_of(i): value i of the block's part. All threads must come. `last`: shared memory for it
  // alone.
  template <typename SumOf>
  __device__ __forceinline__ void Finish(const GemvArguments& a, int tile, const SumOf& sum_of,
                                         int* last) const {
    const int parts = static_cast<int>(gridDim.y), part = static_cast<int>(blockIdx.y);
    if (parts == 1) {
      ForEach([&](int v, int i) { Store(a, tile, v, i, sum_of(i)); });
      return;
    }
    float* const sums = a.partials + static_cast<int64_t>(tile) * parts * kValues;
    ForEach([&](int, int i) { sums[part * kValues + i] = sum_of(i); });
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) *last = LastToArrive(a.arrived + tile, parts);
    __syncthreads();
    if (*last == 0) return;
    __threadfence();
    ForEach([&](int v, int i) {
      float all = 0;
      for (int p = 0; p < parts; ++p) all += LoadFresh(sums + p * kValues + i);
      Store(a, tile, v, i, all);
    });
  }
};

}  // namespace sq::cuda
