// Stands in for the CUDA toolkit's header of this name when kernels/cuda is compiled for the host:
// the part of the language and of the runtime that our kernels use, over fibers.h. Device memory is
// host memory that ends at a page nobody may touch; streams run at once, but for kernels that may
// pdl; a captured graph is the list of its launches.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>

#include "cuda_shim/fibers.h"

// ---------------------------------------------------------------- the language
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define __restrict__ __restrict
#define __grid_constant__

// Of the thread that runs.
inline const sq::shim::Dim3 &threadIdx = sq::shim::running.thread,
                            &blockIdx = sq::shim::running.block,
                            &blockDim = sq::shim::running.block_dim,
                            &gridDim = sq::shim::running.grid_dim;

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline uint2 make_uint2(uint32_t x, uint32_t y) { return {x, y}; }
inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

inline void __syncthreads() { sq::shim::BlockBarrier(); }
inline int __syncthreads_or(int predicate) { return sq::shim::BlockBarrierAny(predicate != 0); }
inline void __syncwarp(uint32_t mask = 0xffffffffu) { sq::shim::WarpExchange(mask, "", 0); }
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace sq::shim {
template <typename T>
T FromLane(const unsigned char* slots, unsigned lane) {
  T value;
  std::memcpy(&value, slots + lane * kMaxExchange, sizeof value);
  return value;
}
// The lane itself where the source lies outside its group of `width`.
template <typename T, typename Source>
T Shuffle(uint32_t mask, T value, int width, Source source) {
  const unsigned lane = running.lane;
  const unsigned char* slots = WarpExchange(mask, &value, sizeof value);
  const int from = source(static_cast<int>(lane));
  const int begin = static_cast<int>(lane) / width * width;
  return from < begin || from >= begin + width ? value
                                               : FromLane<T>(slots, static_cast<unsigned>(from));
}
}  // namespace sq::shim

template <typename T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32) {
  return sq::shim::Shuffle(mask, value, width,
                           [&](int lane) { return lane / width * width + (source & (width - 1)); });
}
template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int lanes, int width = 32) {
  return sq::shim::Shuffle(mask, value, width, [&](int lane) { return lane ^ lanes; });
}
template <typename T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32) {
  return sq::shim::Shuffle(mask, value, width,
                           [&](int lane) { return lane + static_cast<int>(delta); });
}
template <typename T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32) {
  return sq::shim::Shuffle(mask, value, width,
                           [&](int lane) { return lane - static_cast<int>(delta); });
}
inline uint32_t __ballot_sync(uint32_t mask, int predicate) {
  const unsigned char* slots = sq::shim::WarpExchange(mask, &predicate, sizeof predicate);
  uint32_t ballot = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1) != 0 && sq::shim::FromLane<int>(slots, lane) != 0) ballot |= 1u << lane;
  }
  return ballot;
}
inline int __any_sync(uint32_t mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(uint32_t mask, int predicate) {
  return __ballot_sync(mask, predicate) == mask;
}

// One thread runs at a time, so these need nothing more.
template <typename T>
T atomicAdd(T* at, T value) {
  const T old = *at;
  *at = old + value;
  return old;
}
inline unsigned atomicInc(unsigned* at, unsigned limit) {
  const unsigned old = *at;
  *at = old >= limit ? 0 : old + 1;
  return old;
}

inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline int __popc(uint32_t bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
template <typename T>
T __ldg(const T* at) {
  return *at;
}
template <typename T>
T __ldcg(const T* at) {
  return *at;
}
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
using std::max;
using std::min;

// ---------------------------------------------------------------- the runtime
constexpr int CUDART_VERSION = 13000;
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInsufficientDriver = 35,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorLaunchFailure = 719,
};
const char* cudaGetErrorString(cudaError_t error);
const char* cudaGetErrorName(cudaError_t error);
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaPeekAtLastError() { return cudaSuccess; }

struct cudaDeviceProp {
  char name[256];
  int major, minor;
  int multiProcessorCount;
  int integrated;
  int l2CacheSize;
  size_t totalGlobalMem;
  size_t sharedMemPerBlockOptin;
};
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes);
cudaError_t cudaDeviceSynchronize();

// As on a device: fails beyond a bound that a test may set. New memory holds 0xff bytes, NaN.
cudaError_t cudaMalloc(void** pointer, size_t bytes);
template <typename T>
cudaError_t cudaMalloc(T** pointer, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(pointer), bytes);
}
cudaError_t cudaFree(void* pointer);
cudaError_t cudaMallocHost(void** pointer, size_t bytes);
cudaError_t cudaFreeHost(void* pointer);
namespace sq::shim {
// Both may be set from outside, for programs under test: SQ_SHIM_MEMORY and SQ_SHIM_LOST_AFTER.
void SetDeviceMemory(size_t bytes);
// From the call of cudaDeviceSynchronize after `calls` more on, everything fails, as when a device
// falls off the bus. Negative: never.
void LoseDeviceAfter(int calls);
size_t DeviceMemoryUsed();
}  // namespace sq::shim

enum cudaMemcpyKind {
  cudaMemcpyHostToHost = 0,
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4,
};
typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
typedef struct CUgraph_st* cudaGraph_t;
typedef struct CUgraphExec_st* cudaGraphExec_t;
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream = nullptr);
cudaError_t cudaMemset(void* to, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream = nullptr);
constexpr unsigned cudaStreamNonBlocking = 1;
constexpr unsigned cudaEventDisableTiming = 2;
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);

enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2
};
enum cudaStreamCaptureStatus {
  cudaStreamCaptureStatusNone = 0,
  cudaStreamCaptureStatusActive = 1,
  cudaStreamCaptureStatusInvalidated = 2
};
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);

enum cudaFuncAttribute {
  cudaFuncAttributeMaxDynamicSharedMemorySize = 8,
  cudaFuncAttributePreferredSharedMemoryCarveout = 9
};
enum cudaSharedCarveout { cudaSharedmemCarveoutMaxShared = 100 };
template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute, int) {
  return cudaSuccess;
}
enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization = 6 };
union cudaLaunchAttributeValue {
  int programmaticStreamSerializationAllowed;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};
namespace sq::shim {
// Runs when all before it on the stream has ended, which is now, or is added to the graph that the
// stream is captured into.
cudaError_t Submit(cudaStream_t stream, std::function<void()> work);
// The same for a kernel. With `pdl` it begins while up to kMaxStarted such kernels before it
// have begun and not ended (fibers.h), and ends when more come or someone waits for the stream.
constexpr size_t kMaxStarted = 6;
cudaError_t Submit(cudaStream_t stream, Launch launch, bool pdl);
constexpr size_t kMaxDynamicShared = 227 * 1024;

// What runs in the place of a kernel, given where each of its parameters is.
using Replacement = void (*)(const void* const* parameters);
// For all launches of `kernel` to come; from then on one without a replacement is an error. True.
bool Replace(void (*kernel)(), Replacement replacement);
// Null while no kernel has any.
Replacement ReplacementOf(void (*kernel)());
}  // namespace sq::shim

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const sq::shim::Dim3 grid{config->gridDim.x, config->gridDim.y, config->gridDim.z};
  const sq::shim::Dim3 block{config->blockDim.x, config->blockDim.y, config->blockDim.z};
  const size_t shared = config->dynamicSmemBytes;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535 ||
      shared > sq::shim::kMaxDynamicShared || block.x * block.y * block.z == 0 ||
      block.x * block.y * block.z > 1024) {
    return cudaErrorInvalidValue;
  }
  // By value, as a launch copies them.
  std::tuple<Parameters...> copies(std::forward<Arguments>(arguments)...);
  const bool pdl =
      config->numAttrs > 0 && config->attrs[0].val.programmaticStreamSerializationAllowed != 0;
  const auto replacement = sq::shim::ReplacementOf(reinterpret_cast<void (*)()>(kernel));
  const auto run = [=] {
    if (replacement == nullptr) return std::apply(kernel, copies);
    std::apply(
        [&](const Parameters&... each) {
          const void* const places[] = {&each...};
          replacement(places);
        },
        copies);
  };
  return sq::shim::Submit(config->stream, {grid, block, shared, run}, pdl);
}
