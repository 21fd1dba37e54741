// gemv_plan.h's functions, which name all instances of the LUT-GEMV that there are.
#pragma once

#include <algorithm>

#include "kernels/cuda/matmul/gemv_plan.h"
#include "kernels/cuda/matmul/lut_gemv.cuh"

namespace sq::cuda {
namespace {

template <int kBits, int kTokens, int kWarps, bool kOfRows, bool kNormed>
void LaunchGemv(const GemvArguments& arguments, dim3 grid, bool pdl, cudaStream_t stream) {
  using Shape = GemvShape<kBits, kTokens, kWarps, kOfRows, kNormed>;
  LaunchShape shape;
  shape.grid = grid;
  shape.block = dim3(Shape::kThreads);
  shape.shared_bytes = Shape::kBytes;
  shape.pdl = pdl;
  shape.max_shared = true;
  Launch("LUT-GEMV", shape, stream, LutGemvKernel<kBits, kTokens, kWarps, kOfRows, kNormed>,
         arguments);
}

// Blocks of the instance that a multiprocessor has room for at once.
template <typename Shape>
int64_t Resident(const DeviceInfo& device) {
  constexpr int64_t kReserved = 1024;  // bytes of shared memory that the system takes of each block
  const int64_t fit = (device.shared_bytes + kReserved) / (Shape::kBytes + kReserved);
  return std::clamp<int64_t>(fit, 1, Shape::kBlocks);
}

template <typename Shape, int kWarps>
GemvPlan PlanFor(const LayerView& layer, const DeviceInfo& device) {
  const int64_t tiles = CeilDivide(layer.rows, kTileRows);
  const int64_t k_tiles = layer.padded_inputs / kTileInputs;
  // Parts where multiprocessors would be idle, as far as there are K-tiles for all warps.
  const int64_t resident = Resident<Shape>(device);
  const int64_t filled = std::min<int64_t>(device.gemv.filled_blocks, resident);
  const int64_t most =
      std::clamp<int64_t>(device.multiprocessors * filled / tiles, 1, CeilDivide(k_tiles, kWarps));
  GemvPlan plan;
  plan.warps = kWarps;
  plan.resident = resident;
  plan.part_k_tiles = CeilDivide(k_tiles, most);
  const int64_t parts = CeilDivide(k_tiles, plan.part_k_tiles);
  plan.partials = parts == 1 ? 0 : tiles * parts * Shape::Epilogue::kValues;
  const int64_t blocks = device.multiprocessors * resident;
  plan.grid = dim3(static_cast<unsigned>(std::min(tiles, blocks)), static_cast<unsigned>(parts));
  return plan;
}

// Whether there is shared memory for an instance of 16 warps.
template <int kBits, int kTokens, bool kOfRows>
bool Fits(const DeviceInfo& device) {
  return GemvShape<kBits, kTokens, 16, kOfRows, false>::kBytes <= device.shared_bytes;
}
constexpr int kMaxTokens = 16;         // of a launch of 16 warps
constexpr int kMaxTokensOf8Warps = 8;  // where shared memory has no room for these

}  // namespace

template <int kBits>
int64_t MaxGemvTokens(const DeviceInfo& device) {
  return Fits<kBits, kMaxTokens, false>(device) ? kMaxTokens : kMaxTokensOf8Warps;
}

template <int kBits>
GemvPlan PlanGemv(const LayerView& layer, int64_t tokens, bool normed, const DeviceInfo& device) {
  const auto with = [&](auto count, auto warps, auto of_rows) {
    constexpr int kTokens = decltype(count)::value, kWarps = decltype(warps)::value;
    constexpr bool kOfRows = decltype(of_rows)::value != 0;
    GemvPlan plan =
        PlanFor<GemvShape<kBits, kTokens, kWarps, kOfRows, false>, kWarps>(layer, device);
    plan.launch = LaunchGemv<kBits, kTokens, kWarps, kOfRows, false>;
    if constexpr (kTokens == 1) {
      if (normed) plan.launch = LaunchGemv<kBits, kTokens, kWarps, kOfRows, true>;
    }
    return plan;
  };
  // The first that there is shared memory for.
  const auto fits = [&](auto count, auto of_rows) {
    return Fits<kBits, decltype(count)::value, decltype(of_rows)::value != 0>(device);
  };
  const auto with_rows = [&](auto count) {
    const bool wanted = decltype(count)::value > 1 || device.gemv.one_token_warps[kBits - 3] == 16;
    if (wanted && fits(count, Constant<1>())) return with(count, Constant<16>(), Constant<1>());
    return with(Constant<(decltype(count)::value > 1 ? 4 : 1)>(), Constant<8>(), Constant<1>());
  };
  const auto with_quads = [&](auto count) {
    if (fits(count, Constant<0>())) return with(count, Constant<16>(), Constant<0>());
    return with(Constant<std::min(decltype(count)::value, kMaxTokensOf8Warps)>(), Constant<8>(),
                Constant<1>());
  };
  if (tokens == 1) return with_rows(Constant<1>());
  if (tokens == 2 && device.gemv.max_tokens_of_rows >= 2) return with_rows(Constant<2>());
  if (tokens <= 4) return with_quads(Constant<4>());
  if (tokens <= 8) return with_quads(Constant<8>());
  return with_quads(Constant<kMaxTokens>());
}

}  // namespace sq::cuda
