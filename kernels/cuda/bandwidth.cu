// What the device's memory gives: a kernel that only reads.
#include <algorithm>

#include "kernels/cuda/device_info.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/streams.h"
#include "sq/kernels/cuda_device.h"

namespace sq {
namespace cuda {
namespace {

// At least twice the largest L2; the emulated device need not be measured.
constexpr int64_t kBytes = kEmulated ? 1 << 20 : 256 << 20;
constexpr int kThreads = 512, kBlocks = 8;  // of a multiprocessor
constexpr int kPasses = 5, kLaunches = 4;   // of a pass
constexpr int kAtOnce = 4;                  // loads of a thread

__global__ void ReadKernel(const uint4* data, int64_t count, uint32_t* out) {
  uint32_t sum = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const auto add = [&](const uint4& words) { sum ^= words.x ^ words.y ^ words.z ^ words.w; };
  for (; i + (kAtOnce - 1) * step < count; i += kAtOnce * step) {
    uint4 words[kAtOnce];
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) words[j] = LoadOnce(data + i + j * step);
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) add(words[j]);
  }
  for (; i < count; i += step) add(LoadOnce(data + i));
  if (sum == 1) *out = sum;  // so that the loads are needed
}

}  // namespace
}  // namespace cuda

double CudaReadBandwidth() {
  using namespace cuda;
  const Buffer<uint8_t> data(kBytes, "measuring the memory");
  const Buffer<uint32_t> out(1, "measuring the memory");
  Check(cudaMemset(data.data(), 1, static_cast<size_t>(kBytes)), "measuring the memory");
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(kBlocks * CurrentDeviceInfo().multiprocessors));
  shape.block = dim3(kThreads);
  const Event begin, end;
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    begin.Record(nullptr);
    for (int launch = 0; launch < kLaunches; ++launch) {
      Launch("reading", shape, nullptr, ReadKernel, reinterpret_cast<const uint4*>(data.data()),
             kBytes / 16, out.data());
    }
    end.Record(nullptr);
    best = std::max(best, static_cast<double>(kLaunches * kBytes) / SecondsBetween(begin, end));
  }
  return best;
}

}  // namespace sq
