// Which instance of the LUT-GEMV runs, on how many thread blocks.
#include <algorithm>
#include <limits>
#include <mutex>

#include "kernels/cuda/lut_gemv.h"
#include "kernels/cuda/lut_gemv_instances.h"
#include "kernels/cuda/ptx.cuh"

namespace sq::cuda {
namespace {

__global__ void SharedWindowKernel(uint32_t* known) {
  *known = SharedAddress(DynamicShared()) == kSharedWindow;
}

int64_t Stripes(const LayerView& layer, int64_t tokens, const DeviceInfo& device) {
  const GemvTuning* tuning = &kGemvTuning[0];
  for (const GemvTuning& row : kGemvTuning) {
    if (row.capability <= device.capability) tuning = &row;
  }
  const int stripes = tokens > 1             ? 1
                      : layer.code_bits == 4 ? tuning->stripes_4bit
                                             : tuning->stripes_3bit;
  const int64_t units = layer.padded_rows / kRowGroup * (layer.padded_inputs / kUnit);
  return std::min<int64_t>(units, static_cast<int64_t>(stripes) * device.multiprocessors);
}

int64_t InstanceTokens(int64_t tokens) {
  int64_t instance = 1;
  while (instance < tokens) instance *= 2;
  return instance;
}

template <int kTokens>
void Run(const GemvArguments& arguments, int64_t stripes, bool window_known, bool overlap,
         cudaStream_t stream) {
  if (arguments.layer.code_bits == 4) {
    LutGemv4<kTokens>(arguments, stripes, window_known, overlap, stream);
  } else {
    LutGemv3<kTokens>(arguments, stripes, overlap, stream);
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
  room.arrived = layer.padded_rows / kRowGroup;
  for (int64_t instance = 1; instance <= kGemvTokens; instance *= 2) {
    const int64_t stripes = Stripes(layer, instance, device);
    room.partials = std::max(room.partials, stripes * 2 * kRowGroup * instance);
    if (instance >= tokens) break;
  }
  const int64_t units = room.arrived * (layer.padded_inputs / kUnit);
  SQ_CHECK(units * Stripes(layer, 1, device) < std::numeric_limits<int32_t>::max(),
           "a packed layer of [", layer.rows, ", ", layer.inputs,
           "] is too large for the LUT-GEMV");
  return room;
}

void LutGemv(const GemvArguments& arguments, const DeviceInfo& device, bool overlap,
             cudaStream_t stream) {
  const int64_t tokens = InstanceTokens(arguments.tokens);
  const int64_t stripes = Stripes(arguments.layer, tokens, device);
  const bool known = device.window_known;
  SQ_DCHECK(arguments.tokens >= 1 && arguments.tokens <= kGemvTokens);
  switch (tokens) {
    case 1: return Run<1>(arguments, stripes, known, overlap, stream);
    case 2: return Run<2>(arguments, stripes, known, overlap, stream);
    case 4: return Run<4>(arguments, stripes, known, overlap, stream);
    case 8: return Run<8>(arguments, stripes, known, overlap, stream);
    default: return Run<16>(arguments, stripes, known, overlap, stream);
  }
}

}  // namespace sq::cuda
