#include "sq/text/utf8.h"

#include <gtest/gtest.h>

namespace sq {
namespace {

TEST(Utf8, RoundTripsEveryCodePoint) {
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    if (c >= 0xd800 && c <= 0xdfff) continue;
    std::string text;
    AppendUtf8(c, &text);
    char32_t decoded;
    bool valid;
    ASSERT_EQ(DecodeUtf8(text, &decoded, &valid), static_cast<int>(text.size()));
    ASSERT_TRUE(valid && IsValidUtf8(text));
    ASSERT_EQ(decoded, c);
  }
}

// Expected values: bytes.decode("utf-8", errors="replace") of Python 3.
TEST(Utf8, ReplacesEachMaximalIllFormedPart) {
  const std::string r = "\xef\xbf\xbd";
  EXPECT_EQ(ReplaceInvalidUtf8(""), "");
  EXPECT_EQ(ReplaceInvalidUtf8("plain \xc3\xa9 \xf0\x9f\x98\x80"),
            "plain \xc3\xa9 \xf0\x9f\x98\x80");
  EXPECT_EQ(ReplaceInvalidUtf8("a\x80z"), "a" + r + "z");
  EXPECT_EQ(ReplaceInvalidUtf8("\xff\xfe"), r + r);
  EXPECT_EQ(ReplaceInvalidUtf8("\xc0\xaf"), r + r);                  // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("\xe0\x80\xaf"), r + r + r);          // overlong
  EXPECT_EQ(ReplaceInvalidUtf8("\xed\xa0\x80"), r + r + r);          // a surrogate
  EXPECT_EQ(ReplaceInvalidUtf8("\xf4\x90\x80\x80"), r + r + r + r);  // past U+10FFFF
  EXPECT_EQ(ReplaceInvalidUtf8("\xf5\x80"), r + r);
  EXPECT_EQ(ReplaceInvalidUtf8("\xe2\x82"), r);  // cut off
  EXPECT_EQ(ReplaceInvalidUtf8("\xe2\x82g"), r + "g");
  EXPECT_EQ(ReplaceInvalidUtf8("\xf0\x9f\x98"), r);
  EXPECT_EQ(ReplaceInvalidUtf8("\xf0\x9f\x98\xf0\x9f\x98\x80"), r + "\xf0\x9f\x98\x80");
  EXPECT_EQ(ReplaceInvalidUtf8("\xf1\x80\x41\xc3"), r + "A" + r);
  EXPECT_EQ(ReplaceInvalidUtf8("0123456789\xe9 0123456789"), "0123456789" + r + " 0123456789");
}

}  // namespace
}  // namespace sq
