// The LUT-GEMV's kernels by bits, the most tokens (1, 2, 4, 8 or 16) that an instance takes, and the
// tiles of rows of an item: lut_gemv_3bit.cu, lut_gemv_4bit.cu.
#pragma once

#include "kernels/cuda/lut_gemv.h"

namespace sq::cuda {

// window_known: DeviceInfo's.
template <int kBits, int kTokens, int kTiles>
void LutGemvInstance(const GemvArguments& arguments, dim3 grid, bool window_known,
                     bool overlap, cudaStream_t stream);

}  // namespace sq::cuda
