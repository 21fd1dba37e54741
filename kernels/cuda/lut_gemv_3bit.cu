// The 3-bit instances of the LUT-GEMV.
#include "kernels/cuda/lut_gemv.cuh"
#include "kernels/cuda/lut_gemv_instances.h"

namespace sq::cuda {

template <int kTokens>
void LutGemv3(const GemvArguments& arguments, int64_t stripes, bool overlap, cudaStream_t stream) {
  LaunchGemv<Codec3<kTokens>, kTokens>(arguments, stripes, overlap, stream);
}

template void LutGemv3<1>(const GemvArguments&, int64_t, bool, cudaStream_t);
template void LutGemv3<2>(const GemvArguments&, int64_t, bool, cudaStream_t);
template void LutGemv3<4>(const GemvArguments&, int64_t, bool, cudaStream_t);
template void LutGemv3<8>(const GemvArguments&, int64_t, bool, cudaStream_t);
template void LutGemv3<16>(const GemvArguments&, int64_t, bool, cudaStream_t);

}  // namespace sq::cuda
