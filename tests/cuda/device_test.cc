#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sq/kernels/cuda_device.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

TEST(CudaDevice, DescribesTheDevices) {
  std::string reason;
  const std::vector<CudaDevice> devices = CudaDevices(&reason);
  ASSERT_FALSE(devices.empty());
  for (const CudaDevice& device : devices) {
    EXPECT_FALSE(device.name.empty());
    EXPECT_GE(device.major, 8);
    EXPECT_GT(device.multiprocessors, 0);
    EXPECT_GT(device.total_bytes, 0);
  }
  const CudaDevice used = UseCudaDevice(devices[0].index);
  EXPECT_EQ(used.name, devices[0].name);
  EXPECT_GT(used.free_bytes, 0);
  EXPECT_LE(used.free_bytes, used.total_bytes);
  SynchronizeCudaDevice();
}

TEST(CudaDevice, ReadsItsMemory) { EXPECT_GT(CudaReadBandwidth(), 1e6); }

TEST(CudaDevice, SaysThatThereIsNoSuchOne) {
  EXPECT_THAT(test::MessageOf([] { UseCudaDevice(99); }),
              ::testing::StartsWith("device cuda:99: there is no such CUDA device"));
}

}  // namespace
}  // namespace sq
