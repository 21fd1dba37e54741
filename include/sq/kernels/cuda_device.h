// Which CUDA devices there are. The same functions in every build: without CUDA (-DSQ_CUDA=OFF), or
// without a driver, there are none, and the reason says so.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sq {

struct CudaDevice {
  int index = 0;
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int64_t total_bytes = 0;
  int64_t free_bytes = 0;  // UseCudaDevice alone tells
  // Its memory is the host's: tests run the kernels on the host (tests/cuda_shim).
  bool emulated = false;
};

// Devices that can run our kernels (of a compute capability that this build has them for), by
// index. When there is none, *reason says why in a few words, such as "no CUDA driver".
std::vector<CudaDevice> CudaDevices(std::string* reason);

// The device, made current for the calling thread. Throws sq::Error, with the reason, when there is
// no such one or it cannot run our kernels.
CudaDevice UseCudaDevice(int index);

// Bytes of device memory that this library holds, and the most that it has held at a time. What the
// driver and other libraries take for themselves is not in it.
struct CudaMemory {
  int64_t used = 0, peak = 0;
};
CudaMemory CudaMemoryInUse();

// For a program that keeps device memory for later, as LibTorch does: `release` is called where an
// allocation of this library finds no room, which then tries once more. From any thread; to be set
// before there are several.
void SetCudaMemoryReleaser(std::function<void()> release);

// Bytes per second that the current device reads from its memory when it does nothing else: the
// best of a few passes over 256 MB, in a few milliseconds. Throws sq::Error when it has no room for
// that.
double CudaReadBandwidth();

// Waits for all that the device has been told to do. Throws sq::Error when it failed.
void SynchronizeCudaDevice();

}  // namespace sq
