// The 4-bit instances of the LUT-GEMV.
#include "kernels/cuda/matmul/lut_gemv_instances.cuh"

namespace sq::cuda {

template void LutGemvInstance<4, 1, 16, true, false>(const GemvArguments&, dim3, bool,
                                                     cudaStream_t);
template void LutGemvInstance<4, 1, 16, true, true>(const GemvArguments&, dim3, bool, cudaStream_t);
template void LutGemvInstance<4, 2, 16, true, false>(const GemvArguments&, dim3, bool,
                                                     cudaStream_t);
template void LutGemvInstance<4, 4, 16, false, false>(const GemvArguments&, dim3, bool,
                                                      cudaStream_t);
template void LutGemvInstance<4, 8, 16, false, false>(const GemvArguments&, dim3, bool,
                                                      cudaStream_t);
template void LutGemvInstance<4, 16, 16, false, false>(const GemvArguments&, dim3, bool,
                                                       cudaStream_t);
template void LutGemvInstance<4, 1, 8, true, false>(const GemvArguments&, dim3, bool, cudaStream_t);
template void LutGemvInstance<4, 1, 8, true, true>(const GemvArguments&, dim3, bool, cudaStream_t);
template void LutGemvInstance<4, 4, 8, true, false>(const GemvArguments&, dim3, bool, cudaStream_t);
template void LutGemvInstance<4, 8, 8, true, false>(const GemvArguments&, dim3, bool, cudaStream_t);

}  // namespace sq::cuda
