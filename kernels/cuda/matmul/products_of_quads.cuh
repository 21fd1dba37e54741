// Products in which the four lanes of a quad decode the same rows, for many tokens. Lane 4g + q has
// 8 inputs of rows QuadRows::Row(g, i), i < 4, which are rows g and g + 8 of A of two products;
// columns of B are tokens. For this a lane reads indices that other lanes have copied (IndexRing),
// and the tables of pairs are stored four times in shared memory.
#pragma once

#include "kernels/cuda/matmul/codec.cuh"
#include "kernels/cuda/matmul/gemv_prologue.cuh"
#include "kernels/cuda/matmul/sparse.cuh"

namespace sq::cuda {

template <int kBits, int kTokens, int kWarps, int kStage, int kXStride>
struct ProductsOfQuads {
  using Pairs = Codec<kBits>;
  static constexpr int kTwos = 2;  // of rows of a quad
  static constexpr int kTablesBytes = kTwos * Pairs::kTableBytes;
  static constexpr int kColumns = (kTokens + 7) / 8;   // products a fragment
  static constexpr int kXSteps = kTokens > 8 ? 2 : 4;  // whose x is loaded at once
  static constexpr int kXInputs = kXSteps * kStepInputs;
  float sums[kTwos][kColumns][4];
  uint4 x[kXSteps][kColumns], ahead[kXSteps][kColumns];  // 8 inputs each
  uint32_t bank;                                         // 4 * lane

  __device__ __forceinline__ explicit ProductsOfQuads(uint32_t /*x*/) {
    bank = 4 * static_cast<uint32_t>(Lane());
  }
  // Starts loads of inputs [begin, begin + kXInputs) of the lane's tokens, or 0, into registers.
  __device__ __forceinline__ void LoadX(const GemvArguments& a, int begin) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int token = 8 * c + Lane() / 4, column = begin + Lane() % 4 * 8;
      const unsigned at = static_cast<unsigned>(token) * static_cast<unsigned>(a.x_stride) +
                          static_cast<unsigned>(column);
#pragma unroll
      for (int g = 0; g < kXSteps; ++g) {
        ahead[g][c] = LoadIf(token < a.tokens && column + g * kStepInputs < a.layer.inputs,
                             reinterpret_cast<const uint4*>(a.x + at) + g * kStepInputs / 8);
      }
    }
  }
  // They are those from K-step `K-step` of a K-tile on; `to`: the warp's x in shared memory, for
  // outliers.
  template <int k_step>
  __device__ __forceinline__ void TakeX(unsigned char* to, bool sparse) {
    constexpr int kAt = k_step * kStepInputs % kStage * 2;
    static_assert(kStage % kXInputs == 0);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int token = 8 * c + Lane() / 4;
#pragma unroll
      for (int g = 0; g < kXSteps; ++g) {
        x[g][c] = ahead[g][c];
        if (!sparse || token >= kTokens) continue;
        *reinterpret_cast<uint4*>(to + XOffset(token) + kAt + g * 64 + Lane() % 4 * 16) = x[g][c];
      }
    }
  }
  // Of a token's x, in bytes: so that tokens 8 apart are 8 kXStride apart, stores of 128 bits by 8
  // lanes meet in no bank, and of one input of all tokens few.
  __device__ __forceinline__ static constexpr int XOffset(int token) {
    return token * kXStride + token / 2 % 4 * 16;
  }
  __device__ __forceinline__ static void BuildTables(unsigned char* tables,
                                                     const unsigned char* entries) {
    BuildTablesOfQuads<kBits, kWarps>(tables, entries);
  }
  __device__ __forceinline__ void Clear() {
#pragma unroll
    for (int two = 0; two < kTwos; ++two) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[two][c][i] = 0;
      }
    }
  }

  // Half of the 8 inputs.
  template <int half, int two>
  __device__ __forceinline__ void MultiplyHalf(const uint32_t (&rows)[4],
                                               const uint4 (&b)[kColumns]) {
    constexpr int kAt = two * static_cast<int>(Pairs::kTableBytes), kNext = Pairs::kBankBytes;
    const uint32_t a[4] = {
        Pairs::template Pair<2 * half, kAt, 0>(rows[2 * two], bank),
        Pairs::template Pair<2 * half, kAt + kNext, 0>(rows[2 * two + 1], bank),
        Pairs::template Pair<2 * half + 1, kAt, 0>(rows[2 * two], bank),
        Pairs::template Pair<2 * half + 1, kAt + kNext, 0>(rows[2 * two + 1], bank),
    };
#pragma unroll
    for (int c = 0; c < kColumns; ++c)
      MultiplyAdd(sums[two][c], a, {half == 0 ? b[c].x : b[c].z, half == 0 ? b[c].y : b[c].w});
  }
  // Group `K-step` of a K-tile, whose vectors up to it these are, and whose x has been taken.
  template <int k_step>
  __device__ __forceinline__ void MultiplyStep(const uint32_t* vectors) {
    uint32_t rows[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) rows[i] = Pairs::Slice(vectors, k_step, i);
    const auto& b = x[k_step % kXSteps];
    MultiplyHalf<0, 0>(rows, b);
    MultiplyHalf<0, 1>(rows, b);
    MultiplyHalf<1, 0>(rows, b);
    MultiplyHalf<1, 1>(rows, b);
  }

  // An outlier block: its two halves are the inner index of one product. x: as constructed.
  template <int stage>
  __device__ __forceinline__ void MultiplyOutliers(const uint32_t (&words)[4], uint32_t x) {
    const uint32_t g = QuadRows::PositionOfG(static_cast<uint32_t>(Lane()) / 4);
    const uint32_t values[2] = {ValuesOf<kStage>(words[0], words[1], QuadRows::kMaskOfG, g, stage),
                                ValuesOf<kStage>(words[2], words[3], QuadRows::kMaskOfG, g, stage)};
    if (kStage < kTileInputs && __any_sync(kWholeWarp, (values[0] | values[1]) != 0) == 0)
      return;  // all of another stage
    const uint32_t of_lane = static_cast<uint32_t>(XOffset(Lane() / 4 % kTokens));
    uint32_t inputs[kColumns][2];
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        inputs[c][half] = InputsAt<kStage>(words[2 * half + 1],
                                           x + static_cast<uint32_t>(8 * c * kXStride), of_lane);
      }
    }
#pragma unroll
    for (int two = 0; two < kTwos; ++two) {
      uint32_t a[4];
#pragma unroll
      for (unsigned i = 0; i < 4; ++i) {
        a[i] = values[i / 2] &
               WherePosition(words[i / 2 * 2 + 1], QuadRows::kMaskOfI,
                             QuadRows::PositionOfI(2u * static_cast<unsigned>(two) + i % 2));
      }
#pragma unroll
      for (int c = 0; c < kColumns; ++c) MultiplyAdd(sums[two][c], a, inputs[c]);
    }
  }

  // To out [rows][kTokens].
  __device__ __forceinline__ void StoreSums(float* out) const {
#pragma unroll
    for (int two = 0; two < kTwos; ++two) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const unsigned row = QuadRows::Row(static_cast<unsigned>(Lane()) / 4,
                                             static_cast<unsigned>(two * 2 + i / 2));
          const int token = 8 * c + Lane() % 4 * 2 + i % 2;
          if (token < kTokens) out[static_cast<int>(row) * kTokens + token] = sums[two][c][i];
        }
      }
    }
  }
};

}  // namespace sq::cuda
