// One code of a layer in device memory, and what it stands for: for kernels that are not in a
// hurry. The fast kernels decode as codec.cuh tells.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/layout.h"

namespace sq::cuda {

__device__ inline uint32_t CodeAt(const LayerView& layer, int64_t row, int64_t k) {
  const CodePlace place = PlaceOf(row, k);
  const int bits = layer.code_bits;
  uint32_t code = 0;
  for (int plane = 0; plane < bits; ++plane) {
    const uint32_t word = layer.codes[CodeWord(bits, layer.padded_inputs, place.tile, place.unit,
                                               place.lane, place.word * bits + plane)];
    code |= (word >> place.bit & 1) << plane;
  }
  return code;
}

}  // namespace sq::cuda
