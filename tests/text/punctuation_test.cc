// On all kinds of text, in a pre-tokenizer: tokenizer_json_test.cc.
#include "sq/text/punctuation.h"

#include <gtest/gtest.h>

#include "sq/text/regex.h"

namespace sq {
namespace {

bool Matches(const std::string& text) {
  static const Regex regex = Regex::FromPcre2(kPunctuation, "test");
  Regex::Scratch scratch;
  Regex::Match match;
  return regex.Find(text, 0, &scratch, &match);
}

TEST(Punctuation, IsAsciisSymbolsAndUnicodesPunctuation) {
  for (const char c : std::string("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")) {
    EXPECT_TRUE(Matches(std::string(1, c))) << c;
  }
  for (const char* text : {"\u00bf", "\u2014", "\u201c", "\u3002", "\uff01", "\U00010100"}) {
    EXPECT_TRUE(Matches(text)) << text;
  }
  for (const char* text : {"a", "1", " ", "\u00a9", "\u20ac", "\u2192", "\u6f22", "\U0001f600"}) {
    EXPECT_FALSE(Matches(text)) << text;
  }
}

TEST(Punctuation, IsThatOfAnOldUnicode) {
  EXPECT_FALSE(Matches("\u2e43"));      // since Unicode 9
  EXPECT_FALSE(Matches("\U00011b00"));  // since Unicode 16
  EXPECT_TRUE(Matches("\u166d"));       // a symbol since Unicode 12
}

}  // namespace
}  // namespace sq
