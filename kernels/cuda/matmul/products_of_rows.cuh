// Products in which a lane decodes one row at a time, for 1 or 2 tokens, and for more where shared
// memory is small: the table of pairs is stored once a row.
//
// The four lanes of a quad hold four rows of weights, which mma.m16n8k16 would add up. To keep them
// apart, column n of B has inputs for one lane of each quad and zeros for the others: in slice s
// lane q has row 4g + (q + s) % 4, so column n = (q + s) % 4 gets its inputs and D[g][n] belongs to
// row 4g + n. Two halves of a slice are multiplied at once, the second by rows 8.. of A and columns
// 4.. of B; the other two quarters of D are unused. As rows rotate with the slices, each lane has
// inputs in one of four slices, and one 64-bit load brings all inputs of a K-step.
#pragma once

#include "kernels/cuda/matmul/codec.cuh"
#include "kernels/cuda/matmul/gemv_prologue.cuh"
#include "kernels/cuda/matmul/sparse.cuh"

namespace sq::cuda {

template <int kBits, int kTokens, int kWarps, int kStage, int kXStride, bool kNormed>
struct ProductsOfRows {
  using Pairs = Codec<kBits>;
  static constexpr int kTablesBytes = Pairs::kTableBytes;
  static constexpr int kXInputs = kNormed ? kStage / 2 : kStage;  // that are loaded at once
  float sums[kTokens][4];
  uint32_t banks;              // a byte a slice: 4 * the row of the tile
  uint32_t mine[kStepSlices];  // 1 at the slice where the lane has inputs, else 0
  uint32_t own_x;
  StagedX<kTokens, kXInputs, kXStride, kNormed> x;  // the next ones
  // Of the last slices, as many as the integer pipe has time for.
  static constexpr int kInRegisters = kBits == 3 ? 2 : 1;
  RowInRegisters<kBits> rows[kInRegisters];

  // x: the shared address of the warp's x.
  __device__ __forceinline__ explicit ProductsOfRows(uint32_t x) {
    const int lane = Lane(), slice = (lane / 4 + kStepSlices - lane % 4) % kStepSlices;
    own_x = x + static_cast<uint32_t>(slice * 16 + lane / 16 * 8);
    banks = 0;
#pragma unroll
    for (int s = 0; s < kStepSlices; ++s) {
      banks |= 4 * static_cast<uint32_t>(RowOfSlice(lane, s)) << 8 * s;
      mine[s] = s == slice ? 1 : 0;
    }
  }
  __device__ __forceinline__ void BuildTables(unsigned char* tables, const unsigned char* entries) {
    BuildTablesOfRows<kBits, kWarps>(tables, entries);
#pragma unroll
    for (int i = 0; i < kInRegisters; ++i)
      rows[i].Load(entries,
                   static_cast<unsigned>(RowOfSlice(Lane(), kStepSlices - kInRegisters + i)));
  }
  __device__ __forceinline__ void Clear() {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[t][i] = 0;
    }
  }

  // Starts loads of inputs [begin, begin + kXInputs) into registers.
  __device__ __forceinline__ void LoadX(const GemvArguments& a, int begin) { x.Load(a, begin); }
  // From there to where products take them; `to`: the warp's x in shared memory.
  template <int k_step>
  __device__ __forceinline__ void TakeX(unsigned char* to, bool /*sparse*/) {
    x.Store(to + k_step * kStepInputs % kStage * 2);
    __syncwarp();
  }

  // The lane's weights at a slice, as A.
  template <int k_step, int slice>
  __device__ __forceinline__ void Decode(const uint32_t* vectors, uint32_t (&a)[4]) const {
    const uint32_t pairs = Pairs::Slice(vectors, k_step, slice);
    if constexpr (slice >= kStepSlices - kInRegisters) {
      const RowInRegisters<kBits>& row = rows[slice - (kStepSlices - kInRegisters)];
      row.Decode(pairs, &a[0], &a[2]);
      row.Decode(pairs >> 16, &a[1], &a[3]);
      return;
    }
    a[0] = Pairs::template Pair<0, 0, slice>(pairs, banks);
    a[1] = Pairs::template Pair<2, 0, slice>(pairs, banks);
    a[2] = Pairs::template Pair<1, 0, slice>(pairs, banks);
    a[3] = Pairs::template Pair<3, 0, slice>(pairs, banks);
  }
  // Group `K-step` of a K-tile, whose vectors up to it these are, and whose x has been taken.
  template <int k_step>
  __device__ __forceinline__ void MultiplyStep(const uint32_t* vectors) {
    constexpr int kAt = k_step * kStepInputs % kStage * 2;
    uint32_t a[kStepSlices][4];
    Decode<k_step, 0>(vectors, a[0]);
    Decode<k_step, 1>(vectors, a[1]);
    Decode<k_step, 2>(vectors, a[2]);
    Decode<k_step, 3>(vectors, a[3]);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const uint2 two = LoadSharedTwo(own_x + static_cast<uint32_t>(t * kXStride + kAt));
#pragma unroll
      for (int slice = 0; slice < kStepSlices; ++slice) {
        MultiplyAdd(sums[t], a[slice], {Times(two.x, mine[slice]), Times(two.y, mine[slice])});
      }
    }
  }

  // An outlier block: an half by the first rows and columns, the other by the second. x: as
  // constructed.
  template <int stage>
  __device__ __forceinline__ void MultiplyOutliers(const uint32_t (&words)[4], uint32_t x) {
    const uint32_t g = static_cast<uint32_t>(Lane()) / 4;
    const uint32_t a[2] = {ValuesOf<kStage>(words[0], words[1], 7, g, stage),
                           ValuesOf<kStage>(words[2], words[3], 7, g, stage)};
    if (kStage < kTileInputs && __any_sync(kWholeWarp, (a[0] | a[1]) != 0) == 0)
      return;  // all of another stage
    const uint32_t positions = Lane() < kLanes / 2 ? words[1] : words[3];
    const uint32_t wanted = WherePosition(positions, 3 << 6, g % 4 << 6);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      MultiplyAdd(sums[t], a,
                  InputsAt<kStage>(positions, x + static_cast<uint32_t>(t * kXStride), 0) & wanted);
    }
  }

  // To out [rows][kTokens].
  __device__ __forceinline__ void StoreSums(float* out) const {
    const int lane = Lane(), row = lane / 4 * 4 + lane % 2 * 2;
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        float sum = lane % 4 < 2 ? sums[t][i] : sums[t][2 + i];
        sum += __shfl_xor_sync(kWholeWarp, sum, 2);
        if (lane % 4 < 2) out[(row + i) * kTokens + t] = sum;
      }
    }
  }
};

}  // namespace sq::cuda
