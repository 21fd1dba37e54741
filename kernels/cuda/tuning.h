// What differs from one architecture to another in how the LUT-GEMV is carried out. A choice never
// changes what is computed but for the order of sums.
#pragma once

#include "kernels/cuda/architectures.h"

namespace sq::cuda {

struct GemvTuning {
  int architecture = 0;  // the first that this is for: 10 * major + minor
  // Warps of a block for one token, at 3 and at 4 bits: 16 or 8, and 8 where a block of 16 does not
  // fit into shared memory.
  int one_token_warps[2] = {8, 8};
  // Up to so many tokens, 1 or 2, a lane decodes one row at a time (products_of_rows.cuh).
  int max_tokens_of_rows = 2;
  // For how many blocks a multiprocessor, of those it has room for, inputs are divided into parts
  // where tiles of rows are too few. Less than there is room for leaves some to the next launch.
  int filled_blocks = 1;
};

// The row with the highest architecture not above the device's; the first row if there is none.
// `cuda_matmul --tune` measures what a row should be.
GemvTuning TuningFor(const Capability& capability);

}  // namespace sq::cuda
