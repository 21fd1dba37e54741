// One code of a layer in device memory, and what it stands for: for kernels that are not in a
// hurry. The fast kernels decode as codec.cuh tells.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/layout.h"

namespace sq::cuda {

__device__ inline uint32_t CodeAt(const LayerView& layer, int64_t row, int64_t k) {
  const CodePlace place = PlaceOf(row, k);
  const int bits = layer.code_bits, upper = place.upper ? bits : 0;
  const auto word = [&](int in_group) {
    return layer.codes[CodeWord(bits, layer.padded_inputs, place.tile, place.unit, place.lane,
                                place.group * bits + in_group)] >>
           (8 * place.byte);
  };
  const uint32_t mask = (1u << bits) - 1;
  if (bits == 4 || place.step < 3) return word(place.step) >> upper & mask;
  uint32_t pair = 0;
  for (int i = 0; i < 3; ++i) pair |= (word(i) >> 6 & 3) << (2 * i);
  return pair >> upper & mask;
}

}  // namespace sq::cuda
