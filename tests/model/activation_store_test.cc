#include "sq/model/activation_store.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>

#include "cuda_shim/cuda_runtime.h"
#include "sq/base/error.h"
#include "sq/base/output_file.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

// In memory, and in a file because one byte is all that memory may take.
class ActivationStoreTest : public ::testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(MaxBytes, ActivationStoreTest, ::testing::Values(0, 1));

TEST_P(ActivationStoreTest, KeepsEachSlotApart) {
  const std::string folder = test::ScratchFolder();
  ActivationStore store(3, 700, 40, {GetParam(), folder}, kCpu);
  for (int64_t slot = 0; slot < 3; ++slot) store.Slot(slot).fill_(static_cast<double>(slot + 1));
  store.Drop(1);  // leaves its neighbours alone
  EXPECT_TRUE(at::equal(store.Slot(0), at::full({700, 40}, 1.0f)));
  EXPECT_TRUE(at::equal(store.Slot(2), at::full({700, 40}, 3.0f)));
  store.Slot(1).fill_(7);
  EXPECT_EQ(store.Slot(1).sum().item<double>(), 7.0 * 700 * 40);
  EXPECT_TRUE(test::NamesIn(folder).empty()) << "the file has a name";
}

// In a device's memory when half of what it has free, or the bound, is enough.
TEST(ActivationStoreDevice, GoesToTheDeviceIfThereIsRoom) {
  const Device device = ChooseDevice("cuda");
  constexpr int64_t kBytes = 3 * 700 * 40 * 4;
  const auto on_device = [&](int64_t free, int64_t most) {
    shim::SetDeviceMemory(shim::DeviceMemoryUsed() + static_cast<size_t>(free));
    ActivationMemory memory;
    memory.max_device_bytes = most;
    ActivationStore store(3, 700, 40, memory, device);
    for (int64_t slot = 0; slot < 3; ++slot) store.Slot(slot).fill_(static_cast<double>(slot + 1));
    store.Drop(1);
    EXPECT_TRUE(at::equal(store.Slot(0), at::full({700, 40}, 1.0f)));
    EXPECT_TRUE(at::equal(store.Slot(2), at::full({700, 40}, 3.0f)));
    return !store.Slot(1).defined();  // the host's memory could be used again
  };
  EXPECT_TRUE(on_device(2 * kBytes, 0));
  EXPECT_FALSE(on_device(2 * kBytes - 2, 0));
  EXPECT_TRUE(on_device(2 * kBytes, kBytes));
  EXPECT_FALSE(on_device(2 * kBytes, kBytes - 1));
  EXPECT_FALSE(on_device(2 * kBytes - 2, kBytes));
  shim::SetDeviceMemory(size_t{8} << 30);
}

TEST(ActivationStoreDevice, TheUsersBoundIsOfTheMemoryThatComputes) {
  const ActivationMemory cuda = MemoryWithin(1000, ChooseDevice("cuda"), "f");
  EXPECT_EQ(cuda.max_device_bytes, 1000);
  EXPECT_GT(cuda.max_bytes, 1 << 20);  // what does not fit goes to the host first
  const ActivationMemory cpu = MemoryWithin(1000, {}, "f");
  EXPECT_EQ(cpu.max_bytes, 1000);
  EXPECT_EQ(cpu.spill_folder, "f");
  EXPECT_GT(MemoryWithin(0, {}, "f").max_bytes, 1 << 20);
  EXPECT_EQ(MemoryWithin(0, ChooseDevice("cuda"), "f").max_device_bytes, 0);
}

TEST(ActivationStoreDevice, SaysHowMuchOfTheDeviceItHolds) {
  EXPECT_EQ(ActivationStore(3, 700, 40, {}, ChooseDevice("cuda")).MemoryAdvice(),
            "activations hold 336000 bytes of it: with a smaller --max-memory they stay in the "
            "host's memory");
  EXPECT_EQ(ActivationStore(3, 700, 40, {}, kCpu).MemoryAdvice(),
            "a shorter --sequence-length would need less");
}

TEST(ActivationStoreErrors, SayWhatWasWanted) {
  const std::string huge =
      test::MessageOf([] { ActivationStore(1 << 20, 1 << 20, 1 << 20, {}, kCpu); });
  EXPECT_THAT(huge, HasSubstr("activations"));
}

// A folder without what a file needs is no reason to fail while another one has it.
TEST(ActivationStoreSpill, TakesTheNextFolder) {
  ActivationStore store(1, 10, 10, {1, "/nowhere/at/all"}, kCpu);
  store.Slot(0).fill_(3);
  EXPECT_EQ(store.Slot(0).sum().item<double>(), 300);
  // Larger than any file.
  const std::string message = test::MessageOf([] {
    ActivationStore(1 << 20, 1 << 20, 1 << 18, {1, "/nowhere/at/all"}, kCpu);
  });
  EXPECT_THAT(message, HasSubstr("/nowhere/at/all: cannot keep 1152921504606846976 bytes of "
                                 "activations: No such file or directory"));
}

// FUSE and NFS know no files without a name.
TEST(ActivationStoreSpill, GoesToAFileSystemWithoutUnnamedFiles) {
  const std::string folder = test::ScratchFolder(), below = folder + "/below", at = folder + "/at";
  MakeFolder(below);
  MakeFolder(at);
  if (std::system(("bindfs " + below + " " + at + " 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "no bindfs here, or nothing can be mounted";
  }
  setenv("TMPDIR", "/nowhere/at/all", 1);
  {
    ActivationStore store(3, 700, 40, {1, at}, kCpu);
    store.Slot(2).fill_(2);
    EXPECT_EQ(store.Slot(2).sum().item<double>(), 2.0 * 700 * 40);
  }
  unsetenv("TMPDIR");
  // It goes when the file system hears that it was closed.
  for (int wait = 0; wait < 100 && !test::NamesIn(below).empty(); ++wait) usleep(10'000);
  EXPECT_TRUE(test::NamesIn(below).empty());
  EXPECT_EQ(std::system(("umount " + at).c_str()), 0);
}

}  // namespace
}  // namespace sq
