// The 4-bit instances of the LUT-GEMV.
#include "kernels/cuda/matmul/lut_gemv_instances.cuh"

namespace sq::cuda {

template void LutGemvInstance<4, 1, 2, 16>(const GemvArguments&, dim3, bool, cudaStream_t);
template void LutGemvInstance<4, 1, 1, 8>(const GemvArguments&, dim3, bool, cudaStream_t);
template void LutGemvInstance<4, 4, 1, 8>(const GemvArguments&, dim3, bool, cudaStream_t);
template void LutGemvInstance<4, 8, 1, 8>(const GemvArguments&, dim3, bool, cudaStream_t);
template void LutGemvInstance<4, 16, 1, 8>(const GemvArguments&, dim3, bool, cudaStream_t);
template void LutGemvInstance<4, 4, 2, 16>(const GemvArguments&, dim3, bool, cudaStream_t);
template void LutGemvInstance<4, 8, 2, 16>(const GemvArguments&, dim3, bool, cudaStream_t);
template void LutGemvInstance<4, 16, 2, 16>(const GemvArguments&, dim3, bool, cudaStream_t);

}  // namespace sq::cuda
