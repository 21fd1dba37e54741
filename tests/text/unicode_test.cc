#include "sq/text/unicode.h"

#include <gtest/gtest.h>

#include <vector>

namespace sq {
namespace {

TEST(Unicode, WhiteSpaceIsUnicodes) {
  int count = 0;
  for (char32_t c = 0; c <= 0x10ffff; ++c) count += IsWhiteSpace(c);
  EXPECT_EQ(count, 25);  // PropList.txt
  for (const char32_t c : {0x09, 0x0d, 0x20, 0x85, 0xa0, 0x2028, 0x3000})
    EXPECT_TRUE(IsWhiteSpace(c));
  for (const char32_t c : {0x1c, 0x180e, 0x200b, 0xfeff}) EXPECT_FALSE(IsWhiteSpace(c));
}

TEST(Unicode, WhiteSpaceAtBothEnds) {
  EXPECT_EQ(WhiteSpaceAtStart(" \u3000\u00e9 "), 4u);
  EXPECT_EQ(WhiteSpaceAtEnd(" \u00e9\u3000 "), 4u);
  EXPECT_EQ(WhiteSpaceAtStart(" \n"), 2u);
  EXPECT_EQ(WhiteSpaceAtEnd(" \n"), 2u);
  EXPECT_EQ(WhiteSpaceAtStart("") + WhiteSpaceAtEnd(""), 0u);
}

TEST(Unicode, WordsAreLettersMarksDigitsAndConnectors) {
  for (const char32_t c : {U'a', U'Z', U'0', U'_', U'\u00e9', U'\u6f22', U'\u0301', U'\u0663',
                           U'\u203f', U'\u200d', U'\u2160'}) {
    EXPECT_TRUE(IsWordCharacter(c)) << std::hex << static_cast<uint32_t>(c);
  }
  for (const char32_t c : {U' ', U'-', U'.', U'\u00a0', U'\u00bd', U'\u2014', U'\U0001f600'}) {
    EXPECT_FALSE(IsWordCharacter(c)) << std::hex << static_cast<uint32_t>(c);
  }
}

}  // namespace
}  // namespace sq
