#include "sq/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "sq/base/resource_limits.h"

namespace sq {
namespace {

thread_local bool in_parallel = false;

std::atomic<int>& Setting() {
  static std::atomic<int> count{AvailableProcessors()};
  return count;
}

std::atomic<void (*)()>& WorkerSetup() {
  static std::atomic<void (*)()> set_up{nullptr};
  return set_up;
}

// One call of ParallelFor. Shared with workers, which may arrive after it has finished.
struct Job {
  Job(int64_t items, int workers, const std::function<void(int64_t)>& run)
      : count(items), seats(workers), body(run) {}

  // Runs items until none is left.
  void Work() {
    in_parallel = true;
    for (int64_t i = next++; i < count; i = next++) {
      if (!stop.load(std::memory_order_relaxed)) Run(i);
      if (++done == count) {
        const std::lock_guard<std::mutex> lock(mutex);
        all_done.notify_one();
      }
    }
    in_parallel = false;
  }

  void Run(int64_t i) {
    try {
      body(i);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      stop = true;
      if (i >= failed_at) return;
      failed_at = i;
      failure = std::current_exception();
    }
  }

  // Waits for the items that other threads run, but not for workers without items.
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex);
    all_done.wait(lock, [&] { return done == count; });
  }

  const int64_t count;
  int seats;  // workers that may still join; guarded by the pool's mutex
  const std::function<void(int64_t)>& body;  // valid until all items are done
  std::atomic<int64_t> next{0}, done{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable all_done;
  int64_t failed_at = std::numeric_limits<int64_t>::max();
  std::exception_ptr failure;
};

// A thread pool. OpenMP is not used because of its barrier: on a busy machine each loop would wait
// until every thread has been scheduled, even those without work, and the few hundred loops of a
// token would take seconds.
class Pool {
 public:
  static Pool& Get() {
    static Pool* const pool =
        new Pool;  // never destroyed: its threads may still wait when the process exits
    return *pool;
  }

  void Run(const std::shared_ptr<Job>& job) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      while (static_cast<int>(workers_.size()) < job->seats) {
        workers_.emplace_back([this] { Serve(); });
        workers_.back().detach();
      }
      jobs_.push_back(job);
    }
    if (job->seats == 1) {
      new_job_.notify_one();
    } else {
      new_job_.notify_all();
    }
    job->Work();
    Leave(job);
    job->Wait();
  }

 private:
  void Serve() {
    if (void (*const set_up)() = WorkerSetup()) set_up();
    for (;;) {
      std::shared_ptr<Job> job;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        new_job_.wait(lock, [&] { return !jobs_.empty(); });
        job = jobs_.front();
        if (--job->seats == 0) jobs_.pop_front();
      }
      job->Work();
      Leave(job);
    }
  }

  // All items have been started: no more workers are needed.
  void Leave(const std::shared_ptr<Job>& job) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = std::find(jobs_.begin(), jobs_.end(), job);
    if (at != jobs_.end()) jobs_.erase(at);
  }

  std::mutex mutex_;
  std::condition_variable new_job_;
  std::deque<std::shared_ptr<Job>> jobs_;
  std::vector<std::thread> workers_;
};

}  // namespace

void SetThreadCount(int count) { Setting() = count > 0 ? count : AvailableProcessors(); }

int ThreadCount() { return Setting(); }

void SetWorkerSetup(void (*set_up)()) { WorkerSetup() = set_up; }

void ParallelFor(int64_t count, const std::function<void(int64_t)>& body) {
  const int threads = static_cast<int>(std::min<int64_t>(ThreadCount(), count));
  if (threads <= 1 || in_parallel) {
    for (int64_t i = 0; i < count; ++i) body(i);
    return;
  }
  const auto job = std::make_shared<Job>(count, threads - 1, body);
  Pool::Get().Run(job);
  if (job->failure) std::rethrow_exception(job->failure);
}

}  // namespace sq
