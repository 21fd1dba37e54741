// Products where a lane decodes one row at a time, for 1 or 2 tokens, and for more where there is
// little shared memory: tables of pairs lie there once a row.
//
// mma.m16n8k16 would add up what the four lanes of a quad hold, four rows of weights. So column n
// of B has inputs for one lane of each quad alone, zeros for the others: at step s lane q has row
// 4g + (q + s) % 4, and column n = (q + s) % 4 its inputs. D[g][n] is then of row 4g + n. Two
// halves of a step are multiplied at once, the second by rows 8.. of A and columns 4.. of B; of D
// the other two quarters are of no use. As rows go around with the steps, each lane has inputs at
// one step of the four, and one load of 64 bits brings all that a group of 32 inputs needs.
#pragma once

#include "kernels/cuda/matmul/codec.cuh"
#include "kernels/cuda/matmul/gemv_ends.cuh"
#include "kernels/cuda/matmul/sparse.cuh"

namespace sq::cuda {

template <int kBits, int kTokens, int kWarps, int kStage, int kXStride, bool kNormed>
struct ProductsOfRows {
  using Pairs = Codec<kBits>;
  static constexpr int kTablesBytes = Pairs::kTableBytes;
  static constexpr int kXInputs = kNormed ? kStage / 2 : kStage;  // that are loaded at once
  float sums[kTokens][4];
  uint32_t banks;         // a byte a step: 4 * the row of the tile
  uint32_t mine[kSteps];  // 1 at the step where the lane has inputs, else 0
  uint32_t own_x;
  StagedX<kTokens, kXInputs, kXStride, kNormed> x;  // the next ones
  // Of the last steps, as many as the integer pipe has time for.
  static constexpr int kInRegisters = kBits == 3 ? 2 : 1;
  RowInRegisters<kBits> rows[kInRegisters];

  // x: the shared address of the warp's x.
  __device__ __forceinline__ explicit ProductsOfRows(uint32_t x) {
    const int lane = Lane(), step = (lane / 4 + kSteps - lane % 4) % kSteps;
    own_x = x + static_cast<uint32_t>(step * 16 + lane / 16 * 8);
    banks = 0;
#pragma unroll
    for (int s = 0; s < kSteps; ++s) {
      banks |= 4 * static_cast<uint32_t>(RowOfStep(lane, s)) << 8 * s;
      mine[s] = s == step ? 1 : 0;
    }
  }
  __device__ __forceinline__ void BuildTables(unsigned char* tables, const unsigned char* entries) {
    BuildTablesOfRows<kBits, kWarps>(tables, entries);
#pragma unroll
    for (int i = 0; i < kInRegisters; ++i)
      rows[i].Load(entries, static_cast<unsigned>(RowOfStep(Lane(), kSteps - kInRegisters + i)));
  }
  __device__ __forceinline__ void Clear() {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[t][i] = 0;
    }
  }

  // Inputs [begin, begin + kXInputs) on their way to registers.
  __device__ __forceinline__ void LoadX(const GemvArguments& a, int begin) { x.Load(a, begin); }
  // From there to where products take them; `to`: the warp's x in shared memory.
  template <int group>
  __device__ __forceinline__ void TakeX(unsigned char* to, bool /*sparse*/) {
    x.Store(to + group * kGroupInputs % kStage * 2);
    __syncwarp();
  }

  // The lane's weights at a step, as A.
  template <int group, int step>
  __device__ __forceinline__ void Decode(const uint32_t* chunks, uint32_t (&a)[4]) const {
    const uint32_t pairs = Pairs::Step(chunks, group, step);
    if constexpr (step >= kSteps - kInRegisters) {
      const RowInRegisters<kBits>& row = rows[step - (kSteps - kInRegisters)];
      row.Decode(pairs, &a[0], &a[2]);
      row.Decode(pairs >> 16, &a[1], &a[3]);
      return;
    }
    a[0] = Pairs::template Pair<0, 0, step>(pairs, banks);
    a[1] = Pairs::template Pair<2, 0, step>(pairs, banks);
    a[2] = Pairs::template Pair<1, 0, step>(pairs, banks);
    a[3] = Pairs::template Pair<3, 0, step>(pairs, banks);
  }
  // Group `group` of a unit, whose chunks up to it these are, and whose x has been taken.
  template <int group>
  __device__ __forceinline__ void MultiplyGroup(const uint32_t* chunks) {
    constexpr int kAt = group * kGroupInputs % kStage * 2;
    uint32_t a[kSteps][4];
    Decode<group, 0>(chunks, a[0]);
    Decode<group, 1>(chunks, a[1]);
    Decode<group, 2>(chunks, a[2]);
    Decode<group, 3>(chunks, a[3]);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const uint2 two = LoadSharedTwo(own_x + static_cast<uint32_t>(t * kXStride + kAt));
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        MultiplyAdd(sums[t], a[step], {Times(two.x, mine[step]), Times(two.y, mine[step])});
      }
    }
  }

  // A pack: an octet by the first rows and columns, the other by the second. x: as constructed.
  template <int stage>
  __device__ __forceinline__ void MultiplyPack(const uint32_t (&words)[4], uint32_t x) {
    const uint32_t g = static_cast<uint32_t>(Lane()) / 4;
    const uint32_t a[2] = {ValuesOf<kStage>(words[0], words[1], 7, g, stage),
                           ValuesOf<kStage>(words[2], words[3], 7, g, stage)};
    if (kStage < kUnitInputs && __any_sync(kWholeWarp, (a[0] | a[1]) != 0) == 0)
      return;  // all of another stage
    const uint32_t places = Lane() < kLanes / 2 ? words[1] : words[3];
    const uint32_t wanted = WherePlace(places, 3 << 6, g % 4 << 6);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      MultiplyAdd(sums[t], a,
                  InputsAt<kStage>(places, x + static_cast<uint32_t>(t * kXStride), 0) & wanted);
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
