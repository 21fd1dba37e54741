#include "sq/base/memory_bandwidth.h"

#include <gtest/gtest.h>

namespace sq {
namespace {

// No machine of use reads less than 100 MB or more than 100 TB a second.
TEST(MemoryBandwidthTest, IsPlausible) {
  const double bandwidth = ReadBandwidth();
  EXPECT_GT(bandwidth, 1e8);
  EXPECT_LT(bandwidth, 1e14);
}

}  // namespace
}  // namespace sq
