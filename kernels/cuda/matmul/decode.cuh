// One code of a layer in device memory, and what it stands for: for kernels that are not in a
// hurry. The fast kernels decode as codec.cuh tells.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/layout.h"

namespace sq::cuda {

__device__ inline uint32_t CodeAt(const LayerView& layer, int64_t row, int64_t k) {
  const CodePlace place = PlaceOf(layer.code_bits, layer.padded_inputs, row, k);
  const auto nibble = [&](int chunk) {
    return layer.codes[place.word + chunk * kChunkWords] >> place.shift;
  };
  if (place.has_chunk) return nibble(0) & ((1u << layer.code_bits) - 1);
  uint32_t code = 0;
  for (int i = 0; i < 3; ++i) code |= (nibble(i) >> 3 & 1) << i;
  return code;
}

}  // namespace sq::cuda
