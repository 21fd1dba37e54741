// The 4-bit instances of the LUT-GEMV.
#include "kernels/cuda/matmul/lut_gemv_instances.cuh"

namespace sq::cuda {

template int64_t MaxGemvTokens<4>(const DeviceInfo&);
template GemvPlan PlanGemv<4>(const LayerView&, int64_t, bool, const DeviceInfo&);

}  // namespace sq::cuda
