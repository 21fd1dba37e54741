#include "sq/base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "sq/base/error.h"

namespace sq {
namespace {

class Parallel : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { SetThreadCount(GetParam()); }
  void TearDown() override { SetThreadCount(0); }
};
INSTANTIATE_TEST_SUITE_P(Threads, Parallel, ::testing::Values(1, 2, 7));

TEST_P(Parallel, CallsEachIndexOnce) {
  for (const int64_t count : {0, 1, 2, 3, 1000}) {
    std::vector<std::atomic<int>> calls(count);
    ParallelFor(count, [&](int64_t i) { ++calls[i]; });
    for (int64_t i = 0; i < count; ++i) EXPECT_EQ(calls[i], 1) << i << " of " << count;
  }
}

TEST_P(Parallel, NestedLoopsRunToo) {
  std::vector<std::atomic<int>> calls(60);
  ParallelFor(6, [&](int64_t i) { ParallelFor(10, [&](int64_t j) { ++calls[i * 10 + j]; }); });
  for (const auto& count : calls) EXPECT_EQ(count, 1);
}

TEST_P(Parallel, RethrowsAnError) {
  try {
    ParallelFor(100, [&](int64_t i) { SQ_CHECK(i != 42, "item ", i); });
    FAIL() << "no error came through";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "item 42");
  }
  std::atomic<int> calls{0};
  ParallelFor(5, [&](int64_t) { ++calls; });
  EXPECT_EQ(calls, 5);
}

std::atomic<int> set_ups{0};
thread_local int own_set_ups = 0;

TEST(WorkerSetup, EachNewThreadCallsItOnceBeforeItsFirstItem) {
  constexpr int kThreads = 20;  // more than other tests use, so that some are new
  SetWorkerSetup([] {
    ++set_ups;
    ++own_set_ups;
  });
  SetThreadCount(kThreads);
  std::atomic<int> entered{0};
  ParallelFor(kThreads, [&](int64_t) {
    // Each thread takes one item: none ends before all have begun.
    for (++entered; entered < kThreads;) std::this_thread::yield();
    EXPECT_LE(own_set_ups, 1);
  });
  SetWorkerSetup(nullptr);
  SetThreadCount(0);
  const int first = set_ups;
  EXPECT_GE(first, kThreads - 7);
  EXPECT_LE(first, kThreads - 1);  // the caller is no worker
  EXPECT_EQ(own_set_ups, 0);
}

}  // namespace
}  // namespace sq
