// The launch of the product of one token by planes of bits.
#include "kernels/cuda/matmul/plane_gemv.cuh"

#include <algorithm>

#include "kernels/cuda/matmul/plane_gemv.h"

namespace sq::cuda {
namespace {

template <typename Shape>
GemvPlan PlanFor(const LayerView& layer, const DeviceInfo& device) {
  const int64_t units = layer.padded_inputs / kUnitInputs;
  const int64_t tiles = CeilDivide(layer.rows, kTileRows);
  // Parts as x needs them to find room beside another block's, then as there are few tiles.
  constexpr int64_t kReserved = 1024;  // bytes of shared memory that the system takes of each block
  const int64_t room = std::max<int64_t>(
      std::min(Shape::Room(device.shared_bytes),
               std::max<int64_t>(Shape::Room((device.shared_bytes + kReserved) / Shape::kBlocks - kReserved), 16)),
      kScaledUnits);
  const int64_t wanted =
      std::clamp<int64_t>(device.multiprocessors / tiles, 1, CeilDivide(units, kScaledUnits));
  GemvPlan plan;
  plan.part_units = RoundUp(std::min(room, CeilDivide(units, std::max(wanted, CeilDivide(units, room)))), kScaledUnits);
  const int64_t parts = CeilDivide(units, plan.part_units);
  // How many warps share a tile's units: as many as leave the least to do for the multiprocessor that
  // has most, and of these the fewest, for each must add up its counts.
  const int64_t slots = std::max<int64_t>(device.multiprocessors * Shape::kBlocks / parts, 1);
  int64_t least = 0;
  for (int64_t warps = 1; warps <= Shape::kWarps; warps *= 2) {
    const int64_t groups = CeilDivide(tiles, Shape::kWarps / warps);
    const int64_t share = RoundUp(CeilDivide(plan.part_units, warps), kScaledUnits);
    constexpr int64_t kAddingUp = 2;  // units' worth
    const int64_t work = CeilDivide(groups, slots) * (share + kAddingUp);
    if (least != 0 && work >= least) continue;
    least = work;
    plan.group_tiles = Shape::kWarps / warps;
    plan.tile_warps = warps;
    plan.share_units = share;
    plan.groups = groups;
  }
  plan.partials =
      parts == 1 ? 0 : plan.groups * parts * plan.group_tiles * kTileRows;
  plan.grid =
      dim3(static_cast<unsigned>(std::min(plan.groups, slots)), static_cast<unsigned>(parts));
  return plan;
}

// Calls body(bits, whether sparse).
template <typename Body>
auto WithInstance(const LayerView& layer, const Body& body) {
  const bool sparse = layer.octet_begin != nullptr;
  if (layer.code_bits == 4) {
    return sparse ? body(PlaneShape<4, true>(), PlaneGemvKernel<4, true>)
                  : body(PlaneShape<4, false>(), PlaneGemvKernel<4, false>);
  }
  return sparse ? body(PlaneShape<3, true>(), PlaneGemvKernel<3, true>)
                : body(PlaneShape<3, false>(), PlaneGemvKernel<3, false>);
}

}  // namespace

GemvPlan PlanPlaneGemv(const LayerView& layer, const DeviceInfo& device) {
  return WithInstance(layer, [&](auto instance, auto) {
    return PlanFor<decltype(instance)>(layer, device);
  });
}

void PlaneGemv(const GemvArguments& arguments, dim3 grid, bool overlap, cudaStream_t stream) {
  WithInstance(arguments.layer, [&](auto instance, auto kernel) {
    using Shape = decltype(instance);
    LaunchShape shape;
    shape.grid = grid;
    shape.block = dim3(Shape::kThreads);
    shape.shared_bytes = Shape::Bytes(arguments.part_units);
    shape.overlap = overlap;
    shape.most_shared = true;
    Launch("LUT-GEMV of one token", shape, stream, kernel, arguments);
  });
}

}  // namespace sq::cuda
