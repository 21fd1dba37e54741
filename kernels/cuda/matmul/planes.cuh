// x of one token as planes of the bits of whole numbers, for products of bits (plane_gemv.cuh).
//
// x = scale * n, where n has 16 bits (two's complement) and scale, of each two units of inputs, is the
// power of two that lets their largest use all of them: inputs of at least 1/16 of it are exact,
// smaller ones are within 2^-16 of it.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/bits.cuh"
#include "kernels/cuda/matmul/layout.h"
#include "kernels/cuda/reduce.cuh"

namespace sq::cuda {

constexpr int kPlanes = 16;
constexpr int kScaledUnits = 2;  // that have one scale
// Of a unit, as fp16 and as planes: [lane 4n+q of 32][4 words], words 0 and 1 bit n of the inputs
// of the unit's first and second half, in the order of the codes' (layout.h); words 2 and 3 bit
// n + 8.
constexpr int kUnitXBytes = kUnitInputs * 2;

// Two powers of two, one the other's inverse.
struct PlaneScale {
  float scale = 1, inverse = 1;

  // For inputs up to these bits of fp16; not a number where that is not finite.
  __device__ __forceinline__ explicit PlaneScale(uint32_t most_bits) {
    const float most = HalfValue(most_bits);
    if (!(most < 65536.0f)) {
      scale = inverse = __uint_as_float(0x7fc00000u);
    } else if (most > 0) {
      const uint32_t exponent = (__float_as_uint(most) >> 23) - (kPlanes - 2);  // biased, of scale
      scale = __uint_as_float(exponent << 23);
      inverse = __uint_as_float((2 * 127 - exponent) << 23);
    }
  }
};

// A warp's way of two units of x from memory to planes. A lane has one of the two bytes of n, for the
// inputs of a word's bits of one of the units.
struct PlaneMaker {
  uint4 runs[kRuns];  // 8 inputs of each

  struct Place {
    int unit, byte, half, q;
  };
  __device__ __forceinline__ static Place At() {
    const int lane = Lane();
    return {lane / 16, lane / 8 % 2, lane / 4 % 2, lane % 4};
  }
  // Inputs from `begin` on; 0 beyond the layer's.
  __device__ __forceinline__ void Load(const uint16_t* x, int inputs, int begin) {
    const Place at = At();
    const int column = begin + at.unit * kUnitInputs + at.half * kHalfInputs + 8 * at.q;
#pragma unroll
    for (int s = 0; s < kRuns; ++s) {
      runs[s] = {0, 0, 0, 0};
      if (column + s * kRunInputs < inputs)
        runs[s] = *reinterpret_cast<const uint4*>(x + column + s * kRunInputs);
    }
  }
  // As fp16, in order.
  __device__ __forceinline__ void StoreHalves(unsigned char* units) const {
    const Place at = At();
    if (at.byte != 0) return;
    unsigned char* const to =
        units + at.unit * kUnitXBytes + (at.half * kHalfInputs + 8 * at.q) * 2;
#pragma unroll
    for (int s = 0; s < kRuns; ++s) *reinterpret_cast<uint4*>(to + s * kRunInputs * 2) = runs[s];
  }
  // To `units`; returns the scale. All lanes must come.
  __device__ __forceinline__ float StorePlanes(unsigned char* units) const {
    constexpr uint32_t kWithoutSigns = 0x7fff7fffu;
    uint32_t most = 0;  // the bits of numbers without sign are ordered as these are
#pragma unroll
    for (int s = 0; s < kRuns; ++s) {
      most = LargerHalves(most, LargerHalves(LargerHalves(runs[s].x & kWithoutSigns,
                                                          runs[s].y & kWithoutSigns),
                                             LargerHalves(runs[s].z & kWithoutSigns,
                                                          runs[s].w & kWithoutSigns)));
    }
    const PlaneScale scale(LanesMax(max(most & 0xffff, most >> 16)));
    const Place at = At();
    const uint32_t two = at.byte == 0 ? 0x0040u : 0x0051u;
    uint32_t words[8];  // words[2s + e]: byte b is of input 2b + e of run s
#pragma unroll
    for (int s = 0; s < kRuns; ++s) {
      const uint32_t pairs[4] = {runs[s].x, runs[s].y, runs[s].z, runs[s].w};
      uint32_t n[2][4];  // [e][b], in the lower 16 bits
#pragma unroll
      for (int b = 0; b < 4; ++b) {
        // Added to it, a number below 2^22 is rounded to the nearest whole one, in the lowest bits.
        constexpr float kRounder = 12582912.0f;
        n[0][b] = __float_as_uint(fmaf(HalfValue(pairs[b]), scale.inverse, kRounder));
        n[1][b] = __float_as_uint(fmaf(HalfValue(pairs[b] >> 16), scale.inverse, kRounder));
      }
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        words[2 * s + e] =
            Permute(Permute(n[e][0], n[e][1], two), Permute(n[e][2], n[e][3], two), 0x5410);
      }
    }
    // Each byte's 8 x 8 bits are transposed.
#pragma unroll
    for (int i = 0; i < 4; ++i) SwapBits<4>(words[i], words[i + 4], &words[i], &words[i + 4]);
#pragma unroll
    for (int i = 0; i < 8; i += i % 2 == 0 ? 1 : 3)
      SwapBits<2>(words[i], words[i + 2], &words[i], &words[i + 2]);
#pragma unroll
    for (int i = 0; i < 8; i += 2) SwapBits<1>(words[i], words[i + 1], &words[i], &words[i + 1]);
    unsigned char* const to =
        units + at.unit * kUnitXBytes + at.q * 16 + (2 * at.byte + at.half) * 4;
#pragma unroll
    for (int n = 0; n < 8; ++n) *reinterpret_cast<uint32_t*>(to + n * 64) = words[n];
    return scale.scale;
  }
};

}  // namespace sq::cuda
