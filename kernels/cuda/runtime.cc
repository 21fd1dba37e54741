#include "kernels/cuda/runtime.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "sq/kernels/cuda_device.h"

namespace sq {
namespace {

// Of all devices together: one process uses one.
struct Ledger {
  std::mutex mutex;
  std::map<void*, int64_t> sizes;
  int64_t used = 0, peak = 0;
};
Ledger& TheLedger() {
  static Ledger* const ledger = new Ledger;  // outlives static buffers
  return *ledger;
}

std::function<void()>& Releaser() {
  static auto* const releaser = new std::function<void()>;
  return *releaser;
}

// cudaMalloc, tried again after others have given back what they do not need.
cudaError_t Allocate(void** pointer, int64_t bytes) {
  const cudaError_t error = cudaMalloc(pointer, static_cast<size_t>(bytes));
  if (error != cudaErrorMemoryAllocation || !Releaser()) return error;
  cudaGetLastError();  // not to be found by whoever asks next
  Releaser()();
  return cudaMalloc(pointer, static_cast<size_t>(bytes));
}

}  // namespace

void SetCudaMemoryReleaser(std::function<void()> release) { Releaser() = std::move(release); }

CudaMemory CudaMemoryInUse() {
  Ledger& ledger = TheLedger();
  const std::lock_guard<std::mutex> lock(ledger.mutex);
  return {ledger.used, ledger.peak};
}

}  // namespace sq

namespace sq::cuda {

void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // not to be found again by the next call
  throw Error(StrCat("CUDA: ", what, ": ", cudaGetErrorString(error)));
}

void CopyToDevice(void* to, const void* from, int64_t bytes, const char* what) {
  Check(cudaMemcpy(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice), what);
  // It may still be on its way from a buffer of the driver's, and a stream that does not wait for
  // the default one could be sooner.
  Check(cudaStreamSynchronize(nullptr), what);
}

void* AllocateBytes(int64_t bytes, const char* what) {
  void* pointer = nullptr;
  const cudaError_t error = Allocate(&pointer, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free_bytes = 0, total_bytes = 0;
    Check(cudaMemGetInfo(&free_bytes, &total_bytes), "memory of the device");
    throw OutOfMemory(StrCat("CUDA: out of memory: ", what, " wants ", bytes, " bytes, ",
                             free_bytes, " of ", total_bytes, " are free"));
  }
  Check(error, what);
  if (pointer == nullptr) return pointer;
  Ledger& ledger = TheLedger();
  const std::lock_guard<std::mutex> lock(ledger.mutex);
  ledger.sizes[pointer] = bytes;
  ledger.used += bytes;
  ledger.peak = std::max(ledger.peak, ledger.used);
  return pointer;
}

void FreeBytes(void* pointer) {
  if (pointer == nullptr) return;
  {
    Ledger& ledger = TheLedger();
    const std::lock_guard<std::mutex> lock(ledger.mutex);
    const auto found = ledger.sizes.find(pointer);
    ledger.used -= found->second;
    ledger.sizes.erase(found);
  }
  cudaFree(pointer);
}

}  // namespace sq::cuda
