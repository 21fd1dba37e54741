// The 3-bit instances of the LUT-GEMV.
#include "kernels/cuda/matmul/lut_gemv_instances.cuh"

namespace sq::cuda {

template int64_t MaxGemvTokens<3>(const DeviceInfo&);
template GemvPlan PlanGemv<3>(const LayerView&, int64_t, bool, const DeviceInfo&);

}  // namespace sq::cuda
