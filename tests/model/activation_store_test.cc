#include "sq/model/activation_store.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "sq/base/error.h"
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
  const ActivationStore store(3, 700, 40, {GetParam(), folder});
  for (int64_t slot = 0; slot < 3; ++slot) store.Slot(slot).fill_(static_cast<double>(slot + 1));
  store.Drop(1);  // leaves its neighbours alone
  EXPECT_TRUE(at::equal(store.Slot(0), at::full({700, 40}, 1.0f)));
  EXPECT_TRUE(at::equal(store.Slot(2), at::full({700, 40}, 3.0f)));
  store.Slot(1).fill_(7);
  EXPECT_EQ(store.Slot(1).sum().item<double>(), 7.0 * 700 * 40);
  EXPECT_TRUE(test::NamesIn(folder).empty()) << "the file has a name";
}

TEST(ActivationStoreErrors, SayWhatWasWanted) {
  const std::string huge = test::MessageOf([] { ActivationStore(1 << 20, 1 << 20, 1 << 20, {}); });
  EXPECT_THAT(huge, HasSubstr("activations"));
  const std::string nowhere = test::MessageOf([] {
    ActivationStore(1, 10, 10, {1, "/nowhere/at/all"});
  });
  EXPECT_THAT(nowhere, HasSubstr("/nowhere/at/all: cannot keep 400 bytes of activations"));
}

}  // namespace
}  // namespace sq
