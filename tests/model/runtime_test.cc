#include "sq/model/runtime.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "sq/base/parallel.h"

namespace sq {
namespace {

TEST(RuntimeTest, LibTorchStaysOnOneThread) {
  SetUpLibTorch();
  EXPECT_EQ(at::get_num_threads(), 1);
}

// at::get_num_threads would set the thread up itself.
TEST(RuntimeTest, WorkersStayOnOneThreadToo) {
  const auto openmp_threads =
      reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  if (openmp_threads == nullptr) GTEST_SKIP() << "this LibTorch has no OpenMP";
  SetUpLibTorch();
  constexpr int kThreads = 4;
  SetThreadCount(kThreads);
  std::atomic<int> entered{0};
  std::array<int, kThreads> counts{};
  ParallelFor(kThreads, [&](int64_t i) {
    for (++entered; entered < kThreads;) std::this_thread::yield();  // a thread for each item
    counts[i] = openmp_threads();
  });
  SetThreadCount(0);
  EXPECT_THAT(counts, ::testing::Each(1));
}

TEST(RuntimeTest, VersionHasThreeNumbers) {
  int major = 0, minor = 0, patch = 0;
  EXPECT_EQ(sscanf(LibTorchVersion().c_str(), "%d.%d.%d", &major, &minor, &patch), 3);
  EXPECT_GE(major, 2);
}

}  // namespace
}  // namespace sq
