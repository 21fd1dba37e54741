// lut_gemv.h: a layer's width chooses among gemv_plan.h's functions.
#include <algorithm>

#include "kernels/cuda/matmul/gemv_plan.h"

namespace sq::cuda {
namespace {

GemvPlan Plan(const LayerView& layer, int64_t tokens, bool normed, const DeviceInfo& device) {
  return layer.index_bits == 4 ? PlanGemv<4>(layer, tokens, normed, device)
                               : PlanGemv<3>(layer, tokens, normed, device);
}

}  // namespace

int64_t GemvTokens(const LayerView& layer, const DeviceInfo& device) {
  return layer.index_bits == 4 ? MaxGemvTokens<4>(device) : MaxGemvTokens<3>(device);
}

GemvRoom RoomForGemv(const LayerView& layer, int64_t tokens, const DeviceInfo& device) {
  GemvRoom room;
  room.arrived = CeilDivide(layer.rows, kTileRows);
  for (int64_t count = 1; count <= GemvTokens(layer, device); count *= 2) {
    room.partials = std::max(room.partials, Plan(layer, count, false, device).partials);
    if (count >= tokens) break;
  }
  return room;
}

void LutGemv(const GemvArguments& arguments, const DeviceInfo& device, bool pdl,
             cudaStream_t stream) {
  const bool normed = arguments.norm.weight != nullptr;
  const bool passes_on = arguments.epilogue.norm.weight != nullptr;
  SQ_DCHECK(arguments.tokens >= 1 && arguments.tokens <= GemvTokens(arguments.layer, device));
  SQ_DCHECK(arguments.tokens == 1 || (!normed && !passes_on));
  SQ_DCHECK(!passes_on || !arguments.epilogue.gated);
  const GemvPlan plan = Plan(arguments.layer, arguments.tokens, normed, device);
  GemvArguments planned = arguments;
  planned.part_k_tiles = static_cast<int>(plan.part_k_tiles);
  plan.launch(planned, plan.grid, pdl, stream);
}

}  // namespace sq::cuda
