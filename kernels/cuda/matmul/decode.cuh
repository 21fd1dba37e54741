// One code of a layer in device memory, and what it stands for: for kernels that are not in a
// hurry. The fast kernels decode as codec.cuh tells.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/layout.h"

namespace sq::cuda {

__device__ inline uint32_t CodeAt(const LayerView& layer, int64_t row, int64_t k) {
  const CodePlace place = PlaceOf(row, k);
  const int bits = layer.code_bits, shift = 8 * place.byte + (place.upper ? 4 : 0);
  const auto word = [&](int in_group) {
    return layer.codes[CodeWord(bits, layer.padded_inputs, place.tile, place.unit, place.lane,
                                place.group * bits + in_group)] >>
           shift;
  };
  if (bits == 4 || place.step < 3) return word(place.step) & ((1u << bits) - 1);
  uint32_t code = 0;
  for (int i = 0; i < 3; ++i) code |= (word(i) >> 3 & 1) << i;
  return code;
}

}  // namespace sq::cuda
