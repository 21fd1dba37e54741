// Which instance of the LUT-GEMV runs, on how many thread blocks.
#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <type_traits>

#include "kernels/cuda/lut_gemv.cuh"
#include "kernels/cuda/lut_gemv_instances.h"

namespace sq::cuda {
namespace {

__global__ void SharedWindowKernel(uint32_t* known) {
  *known = SharedAddress(DynamicShared()) == kSharedWindow;
}

// How a layer's product is divided, and by which instance.
struct Plan {
  int64_t row_groups, part_units, partials;
  dim3 grid;
};

template <int kBits, int kTokens, int kTiles>
Plan PlanFor(const LayerView& layer, const DeviceInfo& device) {
  using Shape = GemvShape<kBits, kTokens, kTiles>;
  constexpr int64_t kReserved = 1024;  // bytes of shared memory that the system takes of each block
  const int64_t fit = (device.shared_bytes + kReserved) / (Shape::kBytes + kReserved);
  const int64_t resident = device.multiprocessors * std::min<int64_t>(fit, Shape::kBlocks);
  const int64_t row_groups = CeilDivide(layer.rows, Shape::kRows);
  const int64_t units = layer.padded_inputs / kUnitInputs;
  Plan plan;
  const int64_t most = std::clamp<int64_t>(resident / row_groups, 1, CeilDivide(units, kGemvWarps));
  plan.part_units = CeilDivide(units, most);
  const int64_t splits = CeilDivide(units, plan.part_units);
  plan.row_groups = row_groups;
  plan.partials = splits == 1 ? 0 : row_groups * splits * Shape::kValues;
  static const char* persist = getenv("GV_PERSIST");
  int64_t blocks = row_groups;
  if (persist != nullptr && atoi(persist) > 0) blocks = std::min(row_groups, device.multiprocessors * static_cast<int64_t>(atoi(persist)));
  plan.grid = dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(splits));
  return plan;
}

// Calls `body` with the plan and the launching function of the instance for so many tokens.
template <int kBits, typename Body>
void WithInstance(const LayerView& layer, int64_t tokens, const DeviceInfo& device,
                  const Body& body) {
  const auto one_tile = [&](auto count) {
    constexpr int kTokens = decltype(count)::value;
    body(PlanFor<kBits, kTokens, 1>(layer, device), LutGemvInstance<kBits, kTokens, 1>);
  };
  const auto two_tiles = [&](auto count) {
    constexpr int kTokens = decltype(count)::value;
    static const char* two = getenv("GV_TWO");
    if (two == nullptr || GemvShape<kBits, kTokens, 2>::kBytes > device.shared_bytes) return one_tile(count);
    body(PlanFor<kBits, kTokens, 2>(layer, device), LutGemvInstance<kBits, kTokens, 2>);
  };
  if (tokens <= 1) return one_tile(std::integral_constant<int, 1>());
  if (tokens <= 2) return one_tile(std::integral_constant<int, 2>());
  if (tokens <= 4) return two_tiles(std::integral_constant<int, 4>());
  if (tokens <= 8) return two_tiles(std::integral_constant<int, 8>());
  return two_tiles(std::integral_constant<int, 16>());
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

const DeviceInfo& CurrentDeviceInfo() {
  constexpr int kMostDevices = 64;
  static DeviceInfo devices[kMostDevices];
  static std::once_flag asked[kMostDevices];
  int index = 0;
  Check(cudaGetDevice(&index), "current device");
  SQ_CHECK(index < kMostDevices, "CUDA device ", index, ": more devices than are known here");
  std::call_once(asked[index], [&] {
    cudaDeviceProp properties;
    Check(cudaGetDeviceProperties(&properties, index), "properties of a device");
    DeviceInfo& device = devices[index];
    device.capability = 10 * properties.major + properties.minor;
    device.multiprocessors = properties.multiProcessorCount;
    device.shared_bytes = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
    const Buffer<uint32_t> known(1, "a word");
    LaunchShape shape;
    shape.shared_bytes = 1024;
    Launch("shared memory's window", shape, nullptr, SharedWindowKernel, known.data());
    device.window_known = known.ToHost()[0] != 0;
  });
  return devices[index];
}

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
    launch(planned, plan.grid, device.window_known, overlap, stream);
  });
}

}  // namespace sq::cuda
