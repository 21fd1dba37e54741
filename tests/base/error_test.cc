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

TEST(Error, QuotedTextStaysOnOneLine) {
  EXPECT_EQ(Quoted(""), "\"\"");
  EXPECT_EQ(Quoted("plain \u00e9\u6f22\U0001f600"), "\"plain \u00e9\u6f22\U0001f600\"");
  EXPECT_EQ(Quoted("a\nb\x7f"), "\"a\\x0ab\\x7f\"");
  EXPECT_EQ(Quoted("\xff\xe6\xbc"), "\"\\xff\\xe6\\xbc\"");
  const std::string shown = Quoted(std::string(1000, 'x'));
  EXPECT_EQ(shown, "\"" + std::string(80, 'x') + "...\"");
}

TEST(Error, ListsTheFirstNames) {
  EXPECT_EQ(NameList({}), "");
  EXPECT_EQ(NameList({"a", "b\nc"}), "a, \"b\\x0ac\"");
  EXPECT_EQ(NameList({"1", "2", "3", "4", "5", "6"}), "1, 2, 3, 4, 5, 6");
  EXPECT_EQ(NameList({"1", "2", "3", "4", "5", "6", "7", "8"}), "1, 2, 3, 4, 5, 6 and 2 more");
}

}  // namespace
}  // namespace sq
