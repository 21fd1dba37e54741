#include "kernels/cuda/runtime.h"
#include "sq/kernels/cuda_device.h"

namespace sq {
namespace {

constexpr int kLeastMajor = 8;

CudaDevice Describe(int index, const cudaDeviceProp& properties) {
  CudaDevice device;
  device.index = index;
  device.name = properties.name;
  device.major = properties.major;
  device.minor = properties.minor;
  device.multiprocessors = properties.multiProcessorCount;
  device.total_bytes = static_cast<int64_t>(properties.totalGlobalMem);
  device.emulated = cuda::kEmulated;
  return device;
}

}  // namespace

std::vector<CudaDevice> CudaDevices(std::string* reason) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  std::vector<CudaDevice> devices;
  if (error != cudaSuccess) {
    cudaGetLastError();
    *reason = error == cudaErrorInsufficientDriver
                  ? StrCat("no CUDA driver, or one older than CUDA ", CUDART_VERSION / 1000)
                  : StrCat("no CUDA device: ", cudaGetErrorString(error));
    return devices;
  }
  *reason = "no CUDA device";
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties;
    cuda::Check(cudaGetDeviceProperties(&properties, index), "properties of a device");
    if (properties.major < kLeastMajor) {
      *reason =
          StrCat("CUDA device ", index, ", ", properties.name, ", has compute capability ",
                 properties.major, ".", properties.minor, "; the kernels need ", kLeastMajor, ".0");
      continue;
    }
    devices.push_back(Describe(index, properties));
  }
  return devices;
}

CudaDevice UseCudaDevice(int index) {
  std::string reason;
  for (CudaDevice& device : CudaDevices(&reason)) {
    if (device.index != index) continue;
    cuda::Check(cudaSetDevice(index), "choosing a device");
    size_t free_bytes = 0, total_bytes = 0;
    cuda::Check(cudaMemGetInfo(&free_bytes, &total_bytes), "memory of the device");
    device.free_bytes = static_cast<int64_t>(free_bytes);
    return device;
  }
  throw Error(StrCat(
      "device cuda:", index, ": ",
      reason == "no CUDA device" || reason.empty() ? "there is no such CUDA device" : reason));
}

void SynchronizeCudaDevice() { cuda::Check(cudaDeviceSynchronize(), "waiting for the device"); }

}  // namespace sq
