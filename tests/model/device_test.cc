// On the device of tests/cuda_shim, which is the host.
#include "sq/model/device.h"

#include <c10/util/Exception.h>
#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "cuda_shim/cuda_runtime.h"
#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/kernels/cuda_device.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

TEST(DeviceTest, FlagsNameDevices) {
  EXPECT_FALSE(ChooseDevice("cpu").cuda);
  for (const char* flag : {"auto", "cuda", "cuda:0"}) {
    const Device device = ChooseDevice(flag);
    EXPECT_TRUE(device.cuda) << flag;
    EXPECT_TRUE(device.emulated) << flag;
    EXPECT_EQ(device.index, 0) << flag;
  }
  EXPECT_EQ(test::MessageOf([] { ChooseDevice("cuda:7"); }),
            "device cuda:7: there is no such CUDA device");
  for (const char* flag : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda0", "CUDA"}) {
    EXPECT_FALSE(IsDeviceFlag(flag)) << flag;
    EXPECT_EQ(test::MessageOf([&] { ChooseDevice(flag); }),
              StrCat("device: expected auto, cpu, cuda or cuda:N, found ", Quoted(flag)));
  }
}

TEST(DeviceTest, NamesAndMemory) {
  const Device cuda = ChooseDevice("cuda");
  EXPECT_EQ(DeviceKind({}), "cpu");
  EXPECT_EQ(DeviceName({}), "cpu");
  EXPECT_EQ(DeviceKind(cuda), "cuda");
  EXPECT_EQ(DeviceName(cuda), "the host, as a CUDA device for tests");
  EXPECT_EQ(TensorDevice(cuda), at::Device(at::kCPU));
  EXPECT_EQ(TensorDevice({true, 2, false}), at::Device(at::kCUDA, 2));
  shim::SetDeviceMemory(shim::DeviceMemoryUsed() + 4711);
  EXPECT_EQ(FreeBytes(cuda), 4711);
  shim::SetDeviceMemory(size_t{8} << 30);
  EXPECT_GT(FreeBytes({}), 0);
}

// What another program part keeps for later is given back before our kernels go without.
TEST(DeviceTest, MemoryKeptByOthersIsGivenBack) {
  constexpr size_t kKept = size_t{300} << 20;
  const auto measure = [] { CudaReadBandwidth(); };  // wants 256 MB at most
  shim::SetDeviceMemory(shim::DeviceMemoryUsed() + kKept + 1000);
  void* kept = nullptr;
  ASSERT_EQ(cudaMalloc(&kept, kKept), cudaSuccess);
  EXPECT_THROW(measure(), OutOfMemory);
  SetCudaMemoryReleaser([&] {
    cudaFree(kept);
    kept = nullptr;
  });
  EXPECT_NO_THROW(measure());
  EXPECT_EQ(kept, nullptr);
  SetCudaMemoryReleaser({});
  shim::SetDeviceMemory(size_t{8} << 30);
}

TEST(DeviceTest, OutOfMemoryGoesOnWithAdvice) {
  const c10::SourceLocation here = {__func__, __FILE__, static_cast<uint32_t>(__LINE__)};
  EXPECT_EQ(
      test::MessageOf([] { WithMemoryAdvice("take less", [] { throw OutOfMemory("no room"); }); }),
      "no room; take less");
  EXPECT_EQ(test::MessageOf([&] {
              WithMemoryAdvice("take less", [&] {
                throw c10::OutOfMemoryError(here, "Tried to allocate 2.50 GiB");
              });
            }),
            "CUDA: out of memory: wanted 2.50 GiB; take less");
  EXPECT_EQ(test::MessageOf([] { WithMemoryAdvice("take less", [] { throw Error("else"); }); }),
            "else");
}

TEST(DeviceTest, ALoopIsOfThisThreadInOrderOnADevice) {
  SetThreadCount(4);
  std::vector<int64_t> order;
  DeviceFor(ChooseDevice("cuda"), 50, [&](int64_t i) {
    order.push_back(i);  // a race, were there other threads
  });
  ASSERT_EQ(order.size(), 50u);
  for (int64_t i = 0; i < 50; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  std::atomic<int64_t> sum{0};
  DeviceFor({}, 50, [&](int64_t i) { sum += i; });
  EXPECT_EQ(sum, 49 * 50 / 2);
  SetThreadCount(0);
}

TEST(DeviceTest, ALostDeviceIsAnError) {
  const Device cuda = ChooseDevice("cuda");
  shim::LoseDeviceAfter(1);
  EXPECT_NO_THROW(Synchronize(cuda));
  EXPECT_EQ(test::MessageOf([&] { Synchronize(cuda); }),
            "CUDA: waiting for the device: unspecified launch failure");
  EXPECT_NO_THROW(Synchronize({}));
  shim::LoseDeviceAfter(-1);
  EXPECT_NO_THROW(Synchronize(cuda));
}

// The wording of LibTorch 2.11's allocator.
TEST(DeviceTest, OutOfMemoryBecomesOneLine) {
  const auto text = [](const std::string& message) {
    const c10::SourceLocation here = {__func__, __FILE__, static_cast<uint32_t>(__LINE__)};
    return OutOfMemoryText(c10::OutOfMemoryError(here, message));
  };
  EXPECT_EQ(text("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total "
                 "capacity of 79.10 GiB of which 1.88 GiB is free. Including "
                 "non-PyTorch memory, this process has 77.2 GiB memory in use.\nmore"),
            "CUDA: out of memory: wanted 2.50 GiB, 1.88 GiB of 79.10 GiB are free");
  EXPECT_EQ(text("anything else"), "CUDA: out of memory");
  EXPECT_EQ(OutOfMemoryText(std::runtime_error("Tried to allocate 2.50 GiB")), "");
}

}  // namespace
}  // namespace sq
