// Attention by one warp, to 32 positions at a time, for some queries of one kv head.
//
// Keys: 4 lanes take one key, 8 keys at once. Lane l loads the 16-byte vectors l%4, l%4 + 4, .. of
// key l/4, so that every load covers whole sectors; two shuffles complete a dot product, and each
// score moves to the lane of its position. Values: a row is split among lanes by 16-byte vectors;
// each lane accumulates its 8 dims for every query, with weights from other lanes by shuffles.
// Where registers allow, all 32 positions are loaded together, so a warp waits for memory once and
// not once a key. Exponentials are powers of 2: log2(e) is part of the queries' scale.
#pragma once

#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vectors.cuh"

namespace sq::cuda {

constexpr int kWarpPositions = kLanes;  // positions of a warp
constexpr float kNoScore = -INFINITY;

// Dims that vectors hold: those of a query in shared memory.
template <int kChunks>
constexpr int kDims = 32 * kChunks;

// What a query has gathered so far: sums of powers and of values weighted with them, both relative
// to 2^greatest. `sum` is of the lane's own positions.
template <int kQueries>
struct Gathered {
  float greatest[kQueries], sum[kQueries], values[kQueries][8];
};

// Keys or values of a head, [positions][head_dim] fp16, of which those before `end` are read.
struct HeadRows {
  const uint16_t* data;
  int head_dim, end;

  // The 16-byte vector from `dim` on; beyond head_dim the last one. Past the first-level cache,
  // which may hold rows as they were when another kernel wrote them.
  __device__ __forceinline__ uint4 Load(int position, int dim) const {
    // Of 32 bits each, so that an address is one instruction.
    const auto row = static_cast<uint32_t>(min(position, end - 1));
    const auto row_bytes = static_cast<uint32_t>(2 * head_dim);
    const auto* at = reinterpret_cast<const unsigned char*>(data + min(dim, head_dim - 8));
    return __ldcg(reinterpret_cast<const uint4*>(at + static_cast<uint64_t>(row) * row_bytes));
  }
};

// Keys of 32 positions, loaded in rounds of 8 keys; as many rounds are in flight as registers
// allow, so that their latencies overlap.
template <int kQueries, int kChunks>
struct KeyRows {
  static constexpr int kRounds = kWarpPositions / 8;
  static constexpr int kHeld = kChunks > 4 ? 1 : kQueries <= 2 ? kRounds : kQueries == 4 ? 2 : 1;
  static constexpr bool kAhead = kHeld == kRounds;
  uint4 held[kHeld][kChunks];

  // First dim of a vector.
  __device__ __forceinline__ static int Dim(int vector) {
    return 8 * (4 * vector + static_cast<int>(threadIdx.x) % 4);
  }
  // Of round `round` on.
  __device__ __forceinline__ void Load(const HeadRows& keys, int first, int round) {
    const int own = static_cast<int>(threadIdx.x) % kLanes / 4;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
#pragma unroll
      for (int c = 0; c < kChunks; ++c) {
        held[i][c] = keys.Load(first + 8 * (round + i) + own, Dim(c));
      }
    }
  }
  __device__ __forceinline__ void LoadAhead(const HeadRows& keys, int first) {
    if constexpr (kAhead) Load(keys, first, 0);
  }
};

// Scores of 32 positions from `first` on: lane l gets those of position first + l.
template <int kQueries, int kChunks>
__device__ __forceinline__ void Scores(const HeadRows& keys, const float* queries, int first,
                                       KeyRows<kQueries, kChunks>* rows,
                                       float (&scores)[kQueries]) {
  using Rows = KeyRows<kQueries, kChunks>;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
#pragma unroll 1
  for (int round = 0; round < Rows::kRounds; round += Rows::kHeld) {
    if constexpr (!Rows::kAhead) rows->Load(keys, first, round);
#pragma unroll
    for (int i = 0; i < Rows::kHeld; ++i) {
      float dot[kQueries] = {};
#pragma unroll
      for (int c = 0; c < kChunks; ++c) {
        float k[8];
        HalvesToFloats(rows->held[i][c], k);
#pragma unroll
        for (int q = 0; q < kQueries; ++q) {
          // Zero beyond head_dim.
          const auto* query =
              reinterpret_cast<const float4*>(queries + q * kDims<kChunks> + Rows::Dim(c));
          const float4 low = query[0], high = query[1];
          dot[q] += low.x * k[0] + low.y * k[1] + low.z * k[2] + low.w * k[3] + high.x * k[4] +
                    high.y * k[5] + high.z * k[6] + high.w * k[7];
        }
      }
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
        const float moved = __shfl_sync(kWholeWarp, LanesSum(dot[q], 1, 4), lane % 8 * 4);
        if (lane / 8 == round + i) scores[q] = moved;
      }
    }
  }
}

// How a warp reads the values of 32 positions: lane l has dims 8 (l % kLanesARow) .. of every
// kRows-th row.
template <int kQueries, int kChunks>
struct ValueRows {
  static constexpr int kLanesARow = 4 * kChunks, kRows = kLanes / kLanesARow;
  static constexpr int kLoads = kLanes / kRows;
  static constexpr bool kAhead = kQueries <= 2 && kLoads <= 16;
  uint4 held[kAhead ? kLoads : 1];

  __device__ __forceinline__ static int Dim() {
    return 8 * (static_cast<int>(threadIdx.x) % kLanesARow);
  }
  __device__ __forceinline__ static int Row(int i) {
    return static_cast<int>(threadIdx.x) % kLanes / kLanesARow + i * kRows;
  }
  __device__ __forceinline__ static uint4 Load(const HeadRows& values, int first, int i) {
    return values.Load(first + Row(i), Dim());
  }
  __device__ __forceinline__ void LoadAhead(const HeadRows& values, int first) {
    if constexpr (kAhead) {
#pragma unroll
      for (int i = 0; i < kLoads; ++i) held[i] = Load(values, first, i);
    }
  }
  __device__ __forceinline__ uint4 At(const HeadRows& values, int first, int i) const {
    if constexpr (kAhead) {
      return held[i];
    } else {
      return Load(values, first, i);
    }
  }
};

// Adds 32 positions with scores that are kNoScore where a query does not attend.
template <int kQueries, int kChunks>
__device__ __forceinline__ void Gather(const HeadRows& values, int first,
                                       const ValueRows<kQueries, kChunks>& rows,
                                       const float (&scores)[kQueries], Gathered<kQueries>* g) {
  using Rows = ValueRows<kQueries, kChunks>;
  float weight[kQueries];
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
    const float greatest = fmaxf(g->greatest[q], LanesMax(scores[q]));
    const float base = greatest == kNoScore ? 0 : greatest;
    const float kept = exp2f(g->greatest[q] - base);
    weight[q] = exp2f(scores[q] - base);
    g->greatest[q] = greatest;
    g->sum[q] = g->sum[q] * kept + weight[q];
#pragma unroll
    for (int j = 0; j < 8; ++j) g->values[q][j] *= kept;
  }
#pragma unroll(Rows::kAhead ? Rows::kLoads : 4)
  for (int i = 0; i < Rows::kLoads; ++i) {
    float v[8];
    HalvesToFloats(rows.At(values, first, i), v);
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      const float w = __shfl_sync(kWholeWarp, weight[q], Rows::Row(i));
#pragma unroll
      for (int j = 0; j < 8; ++j) g->values[q][j] += w * v[j];
    }
  }
}

}  // namespace sq::cuda
