// What all CUDA sources share on the host: checked calls, owned memory, launches. Compiled against
// the CUDA toolkit, or against tests/cuda_shim, which has headers of the same names.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "sq/base/error.h"

namespace sq::cuda {

// Whether the kernels run on the host (tests/cuda_shim), where device memory is the host's. The
// build defines SQ_CUDA_EMULATED for these libraries and what links them.
#ifdef SQ_CUDA_EMULATED
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif

constexpr int kLanes = 32;  // of a warp

// Throws sq::Error "CUDA: <what>: <the error's text>" unless it is cudaSuccess.
void Check(cudaError_t error, const char* what);

// Device memory. Throws OutOfMemory, saying how much was wanted and how much is free, when there is
// no room.
void* AllocateBytes(int64_t bytes, const char* what);
void FreeBytes(void* pointer);

// Host memory to the device; there for any stream when it returns.
void CopyToDevice(void* to, const void* from, int64_t bytes, const char* what);

template <typename T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(int64_t count, const char* what)
      : data_(static_cast<T*>(
            AllocateBytes(CheckedMultiply(count, static_cast<int64_t>(sizeof(T)), what), what))),
        count_(count) {}
  // A copy of host memory, there for any stream.
  Buffer(const std::vector<T>& host, const char* what)
      : Buffer(static_cast<int64_t>(host.size()), what) {
    CopyToDevice(data_, host.data(), bytes(), what);
  }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~Buffer() { FreeBytes(data_); }

  // Makes room for `count` values; what was there is lost if it grows. Returns data().
  T* Grow(int64_t count, const char* what) {
    if (count_ < count) {
      *this = Buffer();
      *this = Buffer(count, what);
    }
    return data_;
  }

  T* data() const { return data_; }
  int64_t count() const { return count_; }
  int64_t bytes() const { return count_ * static_cast<int64_t>(sizeof(T)); }
  std::vector<T> ToHost() const {
    std::vector<T> host(static_cast<size_t>(count_));
    Check(cudaMemcpy(host.data(), data_, host.size() * sizeof(T), cudaMemcpyDeviceToHost), "copy");
    return host;
  }

 private:
  T* data_ = nullptr;
  int64_t count_ = 0;
};

// Runs `body`; "; " and `advice` are added to the message of an OutOfMemory.
template <typename Body>
void WithAdvice(const char* advice, const Body& body) {
  try {
    body();
  } catch (const OutOfMemory& error) {
    throw Error(StrCat(error.what(), "; ", advice));
  }
}

struct LaunchShape {
  dim3 grid, block;
  int64_t shared_bytes = 0;  // dynamic shared memory
  // May start while the kernel before it on the stream still runs, and others before that one
  // (programmatic dependent launch, compute capability 9.0 on): the kernel then calls
  // WaitForPrevious before it touches what any of them writes, or writes what any of them reads.
  bool pdl = false;
  // Prefer shared memory to L1, so that several blocks fit on a multiprocessor.
  bool max_shared = false;
};

// Launches `kernel` with arguments of its parameters' types. Throws sq::Error, naming `what`.
template <typename... Parameters, typename... Arguments>
void Launch(const char* what, const LaunchShape& shape, cudaStream_t stream,
            void (*kernel)(Parameters...), Arguments... arguments) {
  constexpr int64_t kWithoutAsking = 48 * 1024;
  if (shape.shared_bytes > kWithoutAsking) {
    Check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shape.shared_bytes)),
          what);
  }
  // With programmatic dependent launch for all kernels: so that blocks of a kernel that needs much
  // of it can start beside those of one that does not.
  if (shape.pdl || shape.max_shared) {
    Check(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                               cudaSharedmemCarveoutMaxShared),
          what);
  }
  cudaLaunchAttribute pdl = {};
  pdl.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  pdl.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = static_cast<size_t>(shape.shared_bytes);
  config.stream = stream;
  config.attrs = &pdl;
  config.numAttrs = shape.pdl ? 1 : 0;
  Check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), what);
}

// ceil(a / b) and a rounded up to a multiple of b, for positive b.
constexpr int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t RoundUp(int64_t a, int64_t b) { return CeilDivide(a, b) * b; }

}  // namespace sq::cuda
