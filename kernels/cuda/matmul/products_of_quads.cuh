// Products where the four lanes of a quad decode the same rows, for many tokens: lane 4g+q has 8
// inputs of each of rows QuadRows::Row(g, i), i < 4, which are rows g and g + 8 of A of two
// products. Columns are tokens. For that lanes take codes of others, and tables of pairs lie four
// times in shared memory.
#pragma once

#include "kernels/cuda/matmul/codec.cuh"
#include "kernels/cuda/matmul/sparse.cuh"

namespace sq::cuda {

template <int kBits, int kTokens, int kWarps, int kStage, int kXStride>
struct ProductsOfQuads {
  using Pairs = Codec<kBits>;
  static constexpr int kTwos = 2;  // of rows of a quad
  static constexpr int kTablesBytes = kTwos * Pairs::kTableBytes;
  static constexpr int kColumns = (kTokens + 7) / 8;  // products a fragment
  float sums[kTwos][kColumns][4];
  uint32_t b[kColumns][4];  // x of two products; zero for ever in lanes that have no token
  bool mine[kColumns];
  uint32_t bank;  // 4 * lane
  uint32_t own_x;

  // x: the shared address of the warp's x.
  __device__ __forceinline__ explicit ProductsOfQuads(uint32_t x) {
    bank = 4 * static_cast<uint32_t>(Lane());
    own_x = OfToken(x) + static_cast<uint32_t>(Lane()) % 4 * 16;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      mine[c] = 8 * c + Lane() / 4 < kTokens;
#pragma unroll
      for (int i = 0; i < 4; ++i) b[c][i] = 0;
    }
  }
  // x of the lane's token.
  __device__ __forceinline__ static uint32_t OfToken(uint32_t x) {
    return x + static_cast<uint32_t>(Lane() / 4 % kTokens * kXStride);
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

  // From the four steps of the lane's own codes to step q of rows 4g+i, i < 4: at 3 bits, where
  // step 3 is of all words.
  __device__ __forceinline__ static void Exchange(const uint32_t (&steps)[kSteps],
                                                  uint32_t (&rows)[kSteps]) {
    // Lane q gets row i from lane i - q, whose step q it is: there the step of number i less its
    // own.
    const int lane = Lane();
    const bool odd = lane % 2 != 0, upper = lane % 4 >= 2;
    uint32_t turned[kSteps];
#pragma unroll
    for (int i = 0; i < kSteps; ++i) turned[i] = odd ? steps[(i + kSteps - 1) % kSteps] : steps[i];
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const uint32_t given = upper ? turned[(i + 2) % kSteps] : turned[i];
      rows[i] = __shfl_sync(kWholeWarp, given, lane / 4 * 4 + (i + kSteps - lane % 4) % kSteps);
    }
  }
  // Half of the 8 inputs; b has their x.
  template <int half, int two>
  __device__ __forceinline__ void MultiplyHalf(const uint32_t (&rows)[kSteps]) {
    constexpr int kAt = two * static_cast<int>(Pairs::kTableBytes), kNext = Pairs::kBankBytes;
    const uint32_t a[4] = {
        Pairs::template Pair<2 * half, kAt>(rows[2 * two], bank),
        Pairs::template Pair<2 * half, kAt + kNext>(rows[2 * two + 1], bank),
        Pairs::template Pair<2 * half + 1, kAt>(rows[2 * two], bank),
        Pairs::template Pair<2 * half + 1, kAt + kNext>(rows[2 * two + 1], bank),
    };
#pragma unroll
    for (int c = 0; c < kColumns; ++c)
      MultiplyAdd(sums[two][c], a, {b[c][2 * half], b[c][2 * half + 1]});
  }
  // The group of 32 inputs whose words these are, `input` inputs into the stage.
  __device__ __forceinline__ void MultiplyGroup(const uint32_t* words, int input) {
    uint32_t rows[kSteps];
    if constexpr (kBits == 4) {
#pragma unroll
      for (int i = 0; i < kSteps; ++i) rows[i] = words[i];
    } else {
      const uint32_t steps[kSteps] = {
          Pairs::template Step<0>(words),
          Pairs::template Step<1>(words),
          Pairs::template Step<2>(words),
          Pairs::template Step<3>(words),
      };
      Exchange(steps, rows);
    }
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      LoadSharedIf(mine[c], own_x + static_cast<uint32_t>(8 * c * kXStride + input * 2), b[c]);
    }
    MultiplyHalf<0, 0>(rows);
    MultiplyHalf<0, 1>(rows);
    MultiplyHalf<1, 0>(rows);
    MultiplyHalf<1, 1>(rows);
  }

  // A pack: its two octets are the inner index of one product. x: as constructed.
  template <int stage>
  __device__ __forceinline__ void MultiplyPack(const uint32_t (&words)[4], uint32_t x) {
    using Rows = QuadRows<kBits>;
    const uint32_t g = Rows::PlaceOfG(static_cast<uint32_t>(Lane()) / 4);
    const uint32_t values[2] = {ValuesOf<kStage>(words[0], words[1], Rows::kMaskOfG, g, stage),
                                ValuesOf<kStage>(words[2], words[3], Rows::kMaskOfG, g, stage)};
    if (kStage < kUnitInputs && __any_sync(kWholeWarp, (values[0] | values[1]) != 0) == 0)
      return;  // all of another stage
    uint32_t inputs[kColumns][2];
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
#pragma unroll
      for (int octet = 0; octet < 2; ++octet) {
        inputs[c][octet] = InputsAt<kStage>(words[2 * octet + 1],
                                            OfToken(x) + static_cast<uint32_t>(8 * c * kXStride));
      }
    }
#pragma unroll
    for (int two = 0; two < kTwos; ++two) {
      uint32_t a[4];
#pragma unroll
      for (unsigned i = 0; i < 4; ++i) {
        a[i] = values[i / 2] & WherePlace(words[i / 2 * 2 + 1], Rows::kMaskOfI,
                                          Rows::PlaceOfI(2u * static_cast<unsigned>(two) + i % 2));
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
          const unsigned row = QuadRows<kBits>::Row(static_cast<unsigned>(Lane()) / 4,
                                                    static_cast<unsigned>(two * 2 + i / 2));
          const int token = 8 * c + Lane() % 4 * 2 + i % 2;
          if (token < kTokens) out[static_cast<int>(row) * kTokens + token] = sums[two][c][i];
        }
      }
    }
  }
};

}  // namespace sq::cuda
