// The runtime half of cuda_runtime.h.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <vector>

#include "cuda_shim/cuda_runtime.h"

struct CUstream_st {
  bool capturing = false;
  std::vector<std::function<void(CUstream_st*)>> captured;
  std::deque<std::shared_ptr<sq::shim::StartedGrid>> started;
};
struct CUevent_st {
  std::chrono::steady_clock::time_point time;
};
struct CUgraph_st {
  std::vector<std::function<void(CUstream_st*)>> work;
};
struct CUgraphExec_st {
  std::vector<std::function<void(CUstream_st*)>> work;
};

namespace sq::shim {
namespace {

constexpr size_t kAlignment = 16;  // so that memory ends at most 15 bytes before the forbidden page
// Kernels of several host threads take turns.
std::recursive_mutex turn;
std::mutex allocations_mutex;
struct Allocation {
  void* mapped;
  size_t mapped_bytes, bytes;
};
std::map<void*, Allocation> allocations;

long long FromEnvironment(const char* name, long long otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::atoll(value) : otherwise;
}
size_t device_bytes = static_cast<size_t>(FromEnvironment("SQ_SHIM_MEMORY", 8LL << 30)), used = 0;
// 10 * major + minor.
const int capability = static_cast<int>(FromEnvironment("SQ_SHIM_CAPABILITY", 90));
std::atomic<int> calls_left{static_cast<int>(FromEnvironment("SQ_SHIM_LOST_AFTER", -1))};
std::atomic<bool> lost{false};

CUstream_st default_stream;
std::set<CUstream_st*> streams = {&default_stream};

// The grids of a stream that have begun, to their end, but for the last `left`.
void Finish(CUstream_st* stream, size_t left = 0) {
  const std::lock_guard<std::recursive_mutex> lock(turn);
  while (stream->started.size() > left) {
    const std::shared_ptr<StartedGrid> grid = std::move(stream->started.front());
    stream->started.pop_front();
    FinishGrid(grid.get());
  }
}
void FinishAll() {
  const std::lock_guard<std::recursive_mutex> lock(turn);
  for (CUstream_st* stream : streams) Finish(stream);
}

cudaError_t SubmitTo(CUstream_st* stream, std::function<void(CUstream_st*)> work) {
  if (lost) return cudaErrorLaunchFailure;
  if (stream == nullptr) stream = &default_stream;
  if (stream->capturing) {
    stream->captured.push_back(std::move(work));
    return cudaSuccess;
  }
  const std::lock_guard<std::recursive_mutex> lock(turn);
  work(stream);
  return cudaSuccess;
}

size_t RoundUp(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

// Filled before main.
std::map<void (*)(), Replacement>& Replacements() {
  static std::map<void (*)(), Replacement> replacements;
  return replacements;
}

}  // namespace

bool Replace(void (*kernel)(), Replacement replacement) {
  Replacements()[kernel] = replacement;
  return true;
}
Replacement ReplacementOf(void (*kernel)()) {
  if (Replacements().empty()) return nullptr;
  const auto found = Replacements().find(kernel);
  if (found == Replacements().end())
    throw std::runtime_error(
        "CUDA shim: a kernel that nothing replaces, where others are replaced");
  return found->second;
}

void SetDeviceMemory(size_t bytes) { device_bytes = bytes; }
void LoseDeviceAfter(int calls) {
  calls_left = calls;
  lost = false;
}
size_t DeviceMemoryUsed() { return used; }

cudaError_t Submit(cudaStream_t stream, std::function<void()> work) {
  return SubmitTo(stream, [work = std::move(work)](CUstream_st* to) {
    Finish(to);
    work();
  });
}

cudaError_t Submit(cudaStream_t stream, Launch launch, bool pdl) {
  if (!pdl) {
    return Submit(stream, [launch = std::move(launch)] { RunGrid(launch); });
  }
  return SubmitTo(stream, [launch = std::move(launch)](CUstream_st* to) {
    auto& started = to->started;
    // One that waits before it lets this one start: then all before it has ended.
    if (!started.empty() && !LetsNextStart(*started.back())) Finish(to, 1);
    started.push_back(StartGrid(launch));
    Finish(to, kMaxStarted);
  });
}

}  // namespace sq::shim

using sq::shim::Submit;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInsufficientDriver: return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
  }
  return "unknown";
}
const char* cudaGetErrorString(cudaError_t error) {
  if (error == cudaErrorLaunchFailure) return "unspecified launch failure";
  return error == cudaErrorMemoryAllocation ? "out of memory" : cudaGetErrorName(error);
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return cudaErrorInvalidDevice;
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "the host, as a CUDA device for tests");
  properties->major = sq::shim::capability / 10;
  properties->minor = sq::shim::capability % 10;
  properties->multiProcessorCount = 4;
  properties->integrated = 1;
  properties->l2CacheSize = 1 << 20;
  properties->totalGlobalMem = sq::shim::device_bytes;
  properties->sharedMemPerBlockOptin = sq::shim::kMaxDynamicShared;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; }
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  const std::lock_guard<std::mutex> lock(sq::shim::allocations_mutex);
  *total_bytes = sq::shim::device_bytes;
  *free_bytes = sq::shim::device_bytes - std::min(sq::shim::used, sq::shim::device_bytes);
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  using namespace sq::shim;
  FinishAll();
  if (calls_left >= 0 && calls_left-- == 0) lost = true;
  return lost ? cudaErrorLaunchFailure : cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  using namespace sq::shim;
  const std::lock_guard<std::mutex> lock(allocations_mutex);
  *pointer = nullptr;
  if (lost) return cudaErrorLaunchFailure;
  if (bytes == 0) return cudaSuccess;
  if (bytes > device_bytes - std::min(used, device_bytes)) return cudaErrorMemoryAllocation;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t inside = RoundUp(bytes, page), all = inside + page;
  void* mapped = mmap(nullptr, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return cudaErrorMemoryAllocation;
  auto* begin = static_cast<unsigned char*>(mapped);
  mprotect(begin + inside, page, PROT_NONE);
  *pointer = begin + inside - RoundUp(bytes, kAlignment);
  std::memset(begin, 0xff, inside);
  allocations[*pointer] = {mapped, all, bytes};
  used += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* pointer) {
  using namespace sq::shim;
  if (pointer == nullptr) return cudaSuccess;
  FinishAll();
  const std::lock_guard<std::mutex> lock(allocations_mutex);
  const auto found = allocations.find(pointer);
  if (found == allocations.end()) return cudaErrorInvalidValue;
  munmap(found->second.mapped, found->second.mapped_bytes);
  used -= found->second.bytes;
  allocations.erase(found);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  *pointer = std::malloc(bytes);
  return *pointer != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* pointer) {
  std::free(pointer);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  sq::shim::Finish(&sq::shim::default_stream);
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  return Submit(stream, [=] {
    if (bytes > 0) std::memcpy(to, from, bytes);
  });
}
cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, nullptr);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return Submit(stream, [=] {
    if (bytes > 0) std::memset(to, value, bytes);
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard<std::recursive_mutex> lock(sq::shim::turn);
  *stream = new CUstream_st;
  sq::shim::streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard<std::recursive_mutex> lock(sq::shim::turn);
  sq::shim::Finish(stream);
  sq::shim::streams.erase(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  sq::shim::Finish(stream != nullptr ? stream : &sq::shim::default_stream);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  sq::shim::Finish(stream != nullptr ? stream : &sq::shim::default_stream);
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const bool capturing = stream != nullptr && stream->capturing;
  *status = capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr || stream->capturing) return cudaErrorInvalidValue;
  stream->capturing = true;
  stream->captured.clear();
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (stream == nullptr || !stream->capturing) return cudaErrorInvalidValue;
  stream->capturing = false;
  *graph = new CUgraph_st{std::move(stream->captured)};
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  for (const auto& work : executable->work) sq::shim::SubmitTo(stream, work);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
