// Which instance of the LUT-GEMV runs, on how many thread blocks.
#include <algorithm>

#include "kernels/cuda/matmul/lut_gemv.cuh"

namespace sq::cuda {
namespace {

// How a layer's product is divided, and by which instance.
struct Plan {
  int64_t row_groups, part_units, partials;
  dim3 grid;
};

// Blocks of the instance that the device has room for at once. Of layers that do not fill it, and
// where the last blocks of a launch are at work, the next launch has room for its first codes.
template <typename Shape>
int64_t Resident(const DeviceInfo& device) {
  constexpr int64_t kReserved = 1024;  // bytes of shared memory that the system takes of each block
  const int64_t fit = (device.shared_bytes + kReserved) / (Shape::kBytes + kReserved);
  return device.multiprocessors * std::min<int64_t>(fit, Shape::kBlocks);
}

template <typename Shape, int kWarps>
Plan PlanFor(const LayerView& layer, const DeviceInfo& device) {
  const int64_t resident = Resident<Shape>(device), units = layer.padded_inputs / kUnitInputs;
  Plan plan;
  plan.row_groups = CeilDivide(layer.rows, Shape::kRows);
  // Parts where multiprocessors would be idle, as far as there are units for all warps.
  const int64_t most =
      std::clamp<int64_t>(resident / plan.row_groups, 1, CeilDivide(units, kWarps));
  plan.part_units = CeilDivide(units, most);
  const int64_t parts = CeilDivide(units, plan.part_units);
  plan.partials = parts == 1 ? 0 : plan.row_groups * parts * Shape::kValues;
  plan.grid = dim3(static_cast<unsigned>(std::min(plan.row_groups, resident)),
                   static_cast<unsigned>(parts));
  return plan;
}

// Calls `body` with the plan and the launching function of the instance for so many tokens.
template <int kBits, typename Body>
void WithInstance(const LayerView& layer, int64_t tokens, const DeviceInfo& device,
                  const Body& body) {
  const auto with = [&](auto count, auto tiles, auto warps) {
    constexpr int kTokens = decltype(count)::value, kTiles = decltype(tiles)::value;
    constexpr int kWarps = decltype(warps)::value;
    body(PlanFor<GemvShape<kBits, kTokens, kTiles, kWarps>, kWarps>(layer, device),
         LutGemvInstance<kBits, kTokens, kTiles, kWarps>);
  };
  // Two tiles share what is read of x, which for 16 tokens is as large as the codes.
  const auto with_tokens = [&](auto count) {
    if (GemvShape<kBits, decltype(count)::value, 2, 16>::kBytes <= device.shared_bytes)
      return with(count, Constant<2>(), Constant<16>());
    with(count, Constant<1>(), Constant<8>());
  };
  if (tokens == 1) return with_tokens(Constant<1>());
  if (tokens <= 4) return with_tokens(Constant<4>());
  if (tokens <= 8) return with_tokens(Constant<8>());
  with_tokens(Constant<16>());
}

template <typename Body>
void WithInstance(const LayerView& layer, int64_t tokens, const DeviceInfo& device,
                  const Body& body) {
  if (layer.code_bits == 4) {
    WithInstance<4>(layer, tokens, device, body);
  } else {
    WithInstance<3>(layer, tokens, device, body);
  }
}

}  // namespace

GemvRoom RoomForGemv(const LayerView& layer, int64_t tokens, const DeviceInfo& device) {
  GemvRoom room;
  for (int64_t count = 1; count <= kGemvTokens; count *= 2) {
    WithInstance(layer, count, device, [&](const Plan& plan, auto) {
      room.partials = std::max(room.partials, plan.partials);
      room.arrived = std::max(room.arrived, plan.row_groups);
    });
    if (count >= tokens) break;
  }
  return room;
}

void LutGemv(const GemvArguments& arguments, const DeviceInfo& device, bool overlap,
             cudaStream_t stream) {
  SQ_DCHECK(arguments.tokens >= 1 && arguments.tokens <= kGemvTokens);
  WithInstance(arguments.layer, arguments.tokens, device, [&](const Plan& plan, auto launch) {
    GemvArguments planned = arguments;
    planned.part_units = static_cast<int>(plan.part_units);
    launch(planned, plan.grid, overlap, stream);
  });
}

}  // namespace sq::cuda
