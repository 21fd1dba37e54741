#include "sq/base/error.h"

#include <gtest/gtest.h>

#include <limits>

namespace sq {
namespace {

TEST(ErrorTest, CheckThrowsItsArgumentsAsOneLine) {
  try {
    SQ_CHECK(1 == 2, "a.safetensors: tensor ", "w", ": expected ", 3, ", found ", 4);
    FAIL() << "not thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "a.safetensors: tensor w: expected 3, found 4");
  }
}

TEST(ErrorTest, SizesThatOverflowAreRefused) {
  const int64_t max = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(CheckedMultiply(1 << 20, 1 << 20, "x"), int64_t{1} << 40);
  EXPECT_EQ(CheckedAdd(max - 1, 1, "x"), max);
  EXPECT_THROW(CheckedMultiply(max, 2, "x"), Error);
  EXPECT_THROW(CheckedMultiply(-1, 2, "x"), Error);
  EXPECT_THROW(CheckedAdd(max, 1, "x"), Error);
}

}  // namespace
}  // namespace sq
