#include "sq/base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <limits>
#include <mutex>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace sq {
namespace {

int AvailableThreads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return 1;
}

std::atomic<int>& Setting() {
  static std::atomic<int> count{AvailableThreads()};
  return count;
}

bool InParallel() {
#ifdef _OPENMP
  return omp_in_parallel() != 0;
#else
  return false;
#endif
}

}  // namespace

void SetThreadCount(int count) { Setting() = count > 0 ? count : AvailableThreads(); }

int ThreadCount() { return Setting(); }

void ParallelFor(int64_t count, const std::function<void(int64_t)>& body) {
  const int threads = static_cast<int>(std::min<int64_t>(ThreadCount(), count));
  if (threads <= 1 || InParallel()) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  std::mutex mutex;
  std::exception_ptr failure;
  int64_t failed_at = std::numeric_limits<int64_t>::max();
  std::atomic<bool> stop{false};
  // OpenMP rather than threads of our own: LibTorch, MKL and oneDNN see that they are called from a
  // parallel region and stay on one thread.
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int64_t i = 0; i < count; ++i) {
    if (stop.load(std::memory_order_relaxed)) continue;
    try {
      body(i);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      stop = true;
      if (i < failed_at) {
        failed_at = i;
        failure = std::current_exception();
      }
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace sq
