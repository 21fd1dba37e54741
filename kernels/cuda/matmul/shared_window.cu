#include "kernels/cuda/matmul/shared_window.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/runtime.h"

namespace sq::cuda {
namespace {

__global__ void SharedWindowKernel(uint32_t* out) {
  out[0] = SharedAddress(DynamicShared());
  out[1] = kSharedWindow;
}

}  // namespace

SharedWindow ProbeSharedWindow() {
  const Buffer<uint32_t> out(2, "a probe of shared memory");
  LaunchShape shape;
  shape.grid = dim3(1);
  shape.block = dim3(1);
  shape.shared_bytes = 1024;
  Launch("a probe of shared memory", shape, nullptr, SharedWindowKernel, out.data());
  const std::vector<uint32_t> values = out.ToHost();
  return {values[0], values[1]};
}

void CheckSharedWindow(const SharedWindow& window) {
  SQ_CHECK(window.found == window.expected, "CUDA: dynamic shared memory begins at byte ",
           window.found, ", the kernels expect ", window.expected,
           ": compiled by a driver that lays it out differently");
}

}  // namespace sq::cuda
