#include "sq/model/runtime.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace sq {
namespace {

TEST(RuntimeTest, LibTorchStaysOnOneThread) {
  SetUpLibTorch();
  EXPECT_EQ(at::get_num_threads(), 1);
}

TEST(RuntimeTest, VersionHasThreeNumbers) {
  int major = 0, minor = 0, patch = 0;
  EXPECT_EQ(sscanf(LibTorchVersion().c_str(), "%d.%d.%d", &major, &minor, &patch), 3);
  EXPECT_GE(major, 2);
}

}  // namespace
}  // namespace sq
