// The LUT-GEMV's kernels by bits and the most tokens (1, 2, 4, 8 or 16) that an instance takes.
#pragma once

#include "kernels/cuda/lut_gemv.h"

namespace sq::cuda {

template <int kTokens>
void LutGemv3(const GemvArguments& arguments, int64_t stripes, bool overlap, cudaStream_t stream);

// window_known: DeviceInfo's.
template <int kTokens>
void LutGemv4(const GemvArguments& arguments, int64_t stripes, bool window_known, bool overlap,
              cudaStream_t stream);

}  // namespace sq::cuda
