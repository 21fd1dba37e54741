// One code of a layer in device memory, and what it stands for: for kernels that are not in a
// hurry. The fast kernels decode as lut_gemv.cuh tells.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/layout.h"

namespace sq::cuda {

__device__ inline uint32_t CodeAt(const LayerView& layer, int64_t row, int64_t k) {
  if (layer.code_bits == 4) {
    const int64_t at =
        CodeWords4(layer.padded_inputs, row / 32, k / kBlockInputs4, static_cast<int>(row % 32));
    return layer.codes[at + k % 32 / 8] >> (4 * (k % 8)) & 15;
  }
  const int64_t in_tile = row % 16, pair = k % kUnit / 32, j = pair % 2 * 2 + k % 8 / 4;
  const int lane = static_cast<int>(in_tile % 8 * 4 + k % 32 / 8);
  const int shift = static_cast<int>(4 * (in_tile / 8 * 4 + k % 4));
  const auto word = [&](int plane) {
    return layer.codes[CodeWords3(layer.padded_inputs, row / 16, k / kUnit, plane, lane) +
                       pair / 2] >>
           shift;
  };
  if (j < 3) return word(static_cast<int>(j)) & 7;
  return (word(0) >> 3 & 1) | (word(1) >> 3 & 1) << 1 | (word(2) >> 3 & 1) << 2;
}

}  // namespace sq::cuda
