// Which instance of the LUT-GEMV runs, on how many thread blocks.
#include <algorithm>

#include "kernels/cuda/matmul/lut_gemv.cuh"

namespace sq::cuda {
namespace {

// How a layer's product is divided, and by which instance.
struct Plan {
  int64_t part_units, partials;
  dim3 grid;
};

// Blocks of the instance that a multiprocessor has room for at once.
template <typename Shape>
int64_t Resident(const DeviceInfo& device) {
  constexpr int64_t kReserved = 1024;  // bytes of shared memory that the system takes of each block
  const int64_t fit = (device.shared_bytes + kReserved) / (Shape::kBytes + kReserved);
  return std::clamp<int64_t>(fit, 1, Shape::kBlocks);
}

template <typename Shape, int kWarps>
Plan PlanFor(const LayerView& layer, const DeviceInfo& device) {
  const int64_t tiles = CeilDivide(layer.rows, kTileRows);
  const int64_t units = layer.padded_inputs / kUnitInputs;
  // Parts where multiprocessors would be idle, as far as there are units for all warps.
  const int64_t resident = Resident<Shape>(device);
  const int64_t filled = std::min<int64_t>(device.gemv.filled_blocks, resident);
  const int64_t most =
      std::clamp<int64_t>(device.multiprocessors * filled / tiles, 1, CeilDivide(units, kWarps));
  Plan plan;
  plan.part_units = CeilDivide(units, most);
  const int64_t parts = CeilDivide(units, plan.part_units);
  plan.partials = parts == 1 ? 0 : tiles * parts * Shape::End::kValues;
  const int64_t blocks = device.multiprocessors * resident;
  plan.grid = dim3(static_cast<unsigned>(std::min(tiles, blocks)), static_cast<unsigned>(parts));
  return plan;
}

// Whether there is shared memory for an instance of 16 warps.
template <int kBits, int kTokens, bool kOfRows>
bool Fits(const DeviceInfo& device) {
  return GemvShape<kBits, kTokens, 16, kOfRows, false>::kBytes <= device.shared_bytes;
}
constexpr int kManyTokens = 16, kFewTokens = 8;  // of a launch, where that fits and where not

// Calls `body` with the plan and the launching function of the instance for so many tokens, or for
// one that a norm has left.
template <int kBits, typename Body>
void WithInstance(const LayerView& layer, int64_t tokens, bool normed, const DeviceInfo& device,
                  const Body& body) {
  const auto with = [&](auto count, auto warps, auto of_rows) {
    constexpr int kTokens = decltype(count)::value, kWarps = decltype(warps)::value;
    constexpr bool kOfRows = decltype(of_rows)::value != 0;
    const Plan plan =
        PlanFor<GemvShape<kBits, kTokens, kWarps, kOfRows, false>, kWarps>(layer, device);
    if constexpr (kTokens == 1) {
      if (normed) return body(plan, LutGemvInstance<kBits, kTokens, kWarps, kOfRows, true>);
    }
    body(plan, LutGemvInstance<kBits, kTokens, kWarps, kOfRows, false>);
  };
  // The first that there is shared memory for.
  const auto fits = [&](auto count, auto of_rows) {
    return Fits<kBits, decltype(count)::value, decltype(of_rows)::value != 0>(device);
  };
  const auto with_rows = [&](auto count) {
    const bool wanted = decltype(count)::value > 1 || device.gemv.one_token_warps == 16;
    if (wanted && fits(count, Constant<1>())) return with(count, Constant<16>(), Constant<1>());
    with(Constant<(decltype(count)::value > 1 ? 4 : 1)>(), Constant<8>(), Constant<1>());
  };
  const auto with_quads = [&](auto count) {
    if (fits(count, Constant<0>())) return with(count, Constant<16>(), Constant<0>());
    with(Constant<std::min(decltype(count)::value, kFewTokens)>(), Constant<8>(), Constant<1>());
  };
  if (tokens == 1) return with_rows(Constant<1>());
  if (tokens == 2 && device.gemv.most_tokens_of_rows >= 2) return with_rows(Constant<2>());
  if (tokens <= 4) return with_quads(Constant<4>());
  if (tokens <= 8) return with_quads(Constant<8>());
  with_quads(Constant<kManyTokens>());
}

template <typename Body>
void WithInstance(const LayerView& layer, int64_t tokens, bool normed, const DeviceInfo& device,
                  const Body& body) {
  if (layer.code_bits == 4) {
    WithInstance<4>(layer, tokens, normed, device, body);
  } else {
    WithInstance<3>(layer, tokens, normed, device, body);
  }
}

}  // namespace

int64_t GemvTokens(const LayerView& layer, const DeviceInfo& device) {
  const bool fits = layer.code_bits == 4 ? Fits<4, kManyTokens, false>(device)
                                         : Fits<3, kManyTokens, false>(device);
  return fits ? kManyTokens : kFewTokens;
}

GemvRoom RoomForGemv(const LayerView& layer, int64_t tokens, const DeviceInfo& device) {
  GemvRoom room;
  for (int64_t count = 1; count <= GemvTokens(layer, device); count *= 2) {
    WithInstance(layer, count, false, device, [&](const Plan& plan, auto) {
      room.partials = std::max(room.partials, plan.partials);
      room.arrived = std::max(room.arrived, CeilDivide(layer.rows, kTileRows));
    });
    if (count >= tokens) break;
  }
  return room;
}

void LutGemv(const GemvArguments& arguments, const DeviceInfo& device, bool overlap,
             cudaStream_t stream) {
  SQ_DCHECK(arguments.tokens >= 1 && arguments.tokens <= GemvTokens(arguments.layer, device));
  const bool normed = arguments.norm.weight != nullptr;
  const bool passes_on = arguments.end.norm.weight != nullptr;
  SQ_DCHECK(arguments.tokens == 1 || (!normed && !passes_on));
  SQ_DCHECK(!passes_on || !arguments.end.gated);
  WithInstance(arguments.layer, arguments.tokens, normed, device,
               [&](const Plan& plan, auto launch) {
                 GemvArguments planned = arguments;
                 planned.part_units = static_cast<int>(plan.part_units);
                 launch(planned, plan.grid, overlap, stream);
               });
}

}  // namespace sq::cuda
