// Skips all tests of a program, with the reason, where there is no CUDA device.
#include <gtest/gtest.h>

#include "sq/kernels/cuda_device.h"

namespace sq {
namespace {

class CudaEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
    std::string reason;
    if (CudaDevices(&reason).empty()) GTEST_SKIP() << "no device to test on: " << reason;
    UseCudaDevice(0);
  }
};

const ::testing::Environment* const environment =
    ::testing::AddGlobalTestEnvironment(new CudaEnvironment);

}  // namespace
}  // namespace sq
