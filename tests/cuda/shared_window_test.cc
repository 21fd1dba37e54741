#include "kernels/cuda/matmul/shared_window.h"

#include <gtest/gtest.h>

#include "tests/support/error_message.h"

namespace sq::cuda {
namespace {

TEST(SharedWindow, BeginsWhereTheKernelsExpectIt) {
  const SharedWindow window = ProbeSharedWindow();
  EXPECT_EQ(window.found, window.expected);
  CheckSharedWindow(window);
}

TEST(SharedWindow, IsRefusedAnywhereElse) {
  EXPECT_EQ(
      test::MessageOf([] {
        CheckSharedWindow({2048, 1024});
      }),
      "CUDA: dynamic shared memory begins at byte 2048, the kernels expect 1024: compiled by a "
      "driver that lays it out differently");
}

}  // namespace
}  // namespace sq::cuda
