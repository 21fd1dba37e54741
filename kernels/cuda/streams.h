// What lives as long as a scope on the host: streams, events, page-locked memory.
#pragma once

#include "kernels/cuda/runtime.h"

namespace sq::cuda {

// Runs beside the default stream.
struct Stream {
  cudaStream_t handle = nullptr;
  Stream() { Check(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking), "stream"); }
  ~Stream() { cudaStreamDestroy(handle); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
};

struct Event {
  cudaEvent_t handle = nullptr;
  Event() { Check(cudaEventCreate(&handle), "event"); }
  ~Event() { cudaEventDestroy(handle); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void Record(cudaStream_t stream) const { Check(cudaEventRecord(handle, stream), "event"); }
};

// Between two recorded events; waits for the second.
inline double SecondsBetween(const Event& begin, const Event& end) {
  Check(cudaEventSynchronize(end.handle), "waiting for an event");
  float milliseconds = 0;
  Check(cudaEventElapsedTime(&milliseconds, begin.handle, end.handle), "event");
  return 1e-3 * static_cast<double>(milliseconds);
}

// Page-locked host memory of values of T, from and to which copies run beside other work.
template <typename T>
class Pinned {
 public:
  Pinned() = default;
  ~Pinned() { cudaFreeHost(data_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  // Makes room for `count` values; what was there is lost if it grows.
  void Grow(int64_t count) {
    if (count_ >= count) return;
    cudaFreeHost(data_);
    data_ = nullptr;
    count_ = 0;
    void* memory = nullptr;
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    Check(cudaMallocHost(&memory, static_cast<size_t>(bytes)),
          StrCat(bytes, " bytes of the host's memory, page-locked").c_str());
    data_ = static_cast<T*>(memory);
    count_ = count;
  }
  T* data() const { return data_; }

 private:
  T* data_ = nullptr;
  int64_t count_ = 0;
};

}  // namespace sq::cuda
