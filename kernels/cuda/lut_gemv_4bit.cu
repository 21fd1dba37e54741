// The 4-bit instances of the LUT-GEMV.
#include "kernels/cuda/lut_gemv.cuh"
#include "kernels/cuda/lut_gemv_instances.h"

namespace sq::cuda {

template <int kTokens>
void LutGemv4(const GemvArguments& arguments, int64_t stripes, bool window_known, bool overlap,
              cudaStream_t stream) {
  if (window_known) {
    LaunchGemv<Codec4<kTokens, true>, kTokens>(arguments, stripes, overlap, stream);
  } else {
    LaunchGemv<Codec4<kTokens, false>, kTokens>(arguments, stripes, overlap, stream);
  }
}

template void LutGemv4<1>(const GemvArguments&, int64_t, bool, bool, cudaStream_t);
template void LutGemv4<2>(const GemvArguments&, int64_t, bool, bool, cudaStream_t);
template void LutGemv4<4>(const GemvArguments&, int64_t, bool, bool, cudaStream_t);
template void LutGemv4<8>(const GemvArguments&, int64_t, bool, bool, cudaStream_t);
template void LutGemv4<16>(const GemvArguments&, int64_t, bool, bool, cudaStream_t);

}  // namespace sq::cuda
