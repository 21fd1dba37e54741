#include "sq/base/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
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

}  // namespace
}  // namespace sq
