// The 3-bit instances of the LUT-GEMV.
#include "kernels/cuda/lut_gemv.cuh"
#include "kernels/cuda/lut_gemv_instances.h"

namespace sq::cuda {

template <int kBits, int kTokens, int kTiles>
void LutGemvInstance(const GemvArguments& arguments, dim3 grid, bool window_known,
                     bool overlap, cudaStream_t stream) {
  LaunchGemv<kBits, kTokens, kTiles>(arguments, grid, window_known, overlap, stream);
}

template void LutGemvInstance<3, 1, 1>(const GemvArguments&, dim3, bool, bool, cudaStream_t);
template void LutGemvInstance<3, 2, 1>(const GemvArguments&, dim3, bool, bool, cudaStream_t);
template void LutGemvInstance<3, 4, 1>(const GemvArguments&, dim3, bool, bool, cudaStream_t);
template void LutGemvInstance<3, 8, 1>(const GemvArguments&, dim3, bool, bool, cudaStream_t);
template void LutGemvInstance<3, 16, 1>(const GemvArguments&, dim3, bool, bool, cudaStream_t);
template void LutGemvInstance<3, 4, 2>(const GemvArguments&, dim3, bool, bool, cudaStream_t);
template void LutGemvInstance<3, 8, 2>(const GemvArguments&, dim3, bool, bool, cudaStream_t);
template void LutGemvInstance<3, 16, 2>(const GemvArguments&, dim3, bool, bool, cudaStream_t);

}  // namespace sq::cuda
