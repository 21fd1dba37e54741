#include <mutex>

#include "kernels/cuda/architectures.h"
#include "kernels/cuda/device_info.h"
#include "kernels/cuda/runtime.h"
#include "sq/kernels/cuda_device.h"

namespace sq {
namespace {

// A device, and in *problem why kernels do not run on it, if so.
CudaDevice Describe(int index, std::string* problem) {
  cudaDeviceProp properties;
  cuda::Check(cudaGetDeviceProperties(&properties, index), "properties of a device");
  CudaDevice device;
  device.index = index;
  device.name = properties.name;
  device.major = properties.major;
  device.minor = properties.minor;
  device.multiprocessors = properties.multiProcessorCount;
  device.total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  device.emulated = cuda::kEmulated;
  const std::string lacks = cuda::WhatItLacks({device.major, device.minor}, SQ_CUDA_ARCHITECTURES);
  *problem = lacks.empty() ? "" : StrCat("CUDA device ", index, ", ", device.name, ", ", lacks);
  return device;
}

// How many devices there are, usable or not; if none, *reason says why.
int CountDevices(std::string* reason) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess) {
    *reason = count == 0 ? "no CUDA device" : "";
    return count;
  }
  cudaGetLastError();
  *reason = error == cudaErrorInsufficientDriver
                ? StrCat("no CUDA driver, or one older than CUDA ", CUDART_VERSION / 1000)
                : StrCat("no CUDA device: ", cudaGetErrorString(error));
  return 0;
}

}  // namespace

std::vector<CudaDevice> CudaDevices(std::string* reason) {
  std::vector<CudaDevice> devices;
  const int count = CountDevices(reason);
  for (int index = 0; index < count; ++index) {
    std::string problem;
    CudaDevice device = Describe(index, &problem);
    if (problem.empty()) {
      devices.push_back(std::move(device));
    } else if (reason->empty()) {
      *reason = problem;
    }
  }
  return devices;
}

CudaDevice UseCudaDevice(int index) {
  std::string problem;
  const int count = CountDevices(&problem);
  CudaDevice device;
  if (count > 0) {
    problem = "there is no such CUDA device";
    if (index >= 0 && index < count) device = Describe(index, &problem);
  }
  SQ_CHECK(problem.empty(), "device cuda:", index, ": ", problem);
  cuda::Check(cudaSetDevice(index), "choosing a device");
  size_t free_bytes = 0, total_bytes = 0;
  cuda::Check(cudaMemGetInfo(&free_bytes, &total_bytes), "memory of the device");
  device.free_bytes = static_cast<int64_t>(free_bytes);
  return device;
}

void SynchronizeCudaDevice() { cuda::Check(cudaDeviceSynchronize(), "waiting for the device"); }

namespace cuda {

const DeviceInfo& CurrentDeviceInfo() {
  constexpr int kMaxDevices = 64;
  static DeviceInfo devices[kMaxDevices];
  static std::once_flag asked[kMaxDevices];
  int index = 0;
  Check(cudaGetDevice(&index), "current device");
  SQ_CHECK(index < kMaxDevices, "CUDA device ", index, ": more devices than are known here");
  std::call_once(asked[index], [&] {
    cudaDeviceProp properties;
    Check(cudaGetDeviceProperties(&properties, index), "properties of a device");
    DeviceInfo& device = devices[index];
    device.multiprocessors = properties.multiProcessorCount;
    device.shared_bytes = static_cast<int64_t>(properties.sharedMemPerBlockOptin);
    device.pdl = properties.major >= 9;
    device.gemv = TuningFor({properties.major, properties.minor});
    device.shared_window = ProbeSharedWindow();
  });
  return devices[index];
}

}  // namespace cuda
}  // namespace sq
