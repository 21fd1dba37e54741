// Matrices of bits whose rows are words, of several matrices side by side.
#pragma once

#include <cstdint>

#include "kernels/cuda/runtime.h"

namespace sq::cuda {

// Words of blocks of n bits, n = 1, 2 or 4: `a`'s odd blocks and `b`'s even ones change places. It
// makes a step of the transposition of matrices of 2n x 2n blocks.
template <int n>
__device__ __forceinline__ void SwapBits(uint32_t a, uint32_t b, uint32_t* new_a, uint32_t* new_b) {
  static_assert(n == 1 || n == 2 || n == 4);
  constexpr uint32_t kEven = n == 1 ? 0x55555555u : n == 2 ? 0x33333333u : 0x0f0f0f0fu;
  *new_a = (a & kEven) | (b << n & ~kEven);
  *new_b = (a >> n & kEven) | (b & ~kEven);
}

}  // namespace sq::cuda
