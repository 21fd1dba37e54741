// One index of a layer in device memory, for kernels whose speed does not matter. Fast kernels
// decode as codec.cuh describes.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/layout.h"

namespace sq::cuda {

__device__ inline uint32_t IndexAt(const LayerView& layer, int64_t row, int64_t k) {
  const IndexPosition position = IndexPositionOf(layer.index_bits, layer.padded_inputs, row, k);
  const auto nibble = [&](int vector) {
    return layer.indices[position.word + vector * kVectorWords] >> position.shift;
  };
  if (position.has_vector) return nibble(0) & ((1u << layer.index_bits) - 1);
  uint32_t index = 0;
  for (int i = 0; i < 3; ++i) index |= (nibble(i) >> 3 & 1) << i;
  return index;
}

}  // namespace sq::cuda
