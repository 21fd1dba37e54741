#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sq/text/regex.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

std::string Translate(const std::string& pattern) {
  return TranslatePattern(pattern, "test").pattern;
}

TEST(RegexTranslation, KeepsWhatBothEnginesAgreeOn) {
  for (const char* pattern :
       {"'s|'t", "a+b*c?d+?e*?f++", "(?:a|b)(?=c)(?!d)(?<=e)(?<!f)(?>g)", "a{2}b{1,3}c{2,}",
        "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+", "[\\]\\[\\-a-z]", "\\.\\*\\(", "(?i:'s)"}) {
    EXPECT_EQ(Translate(pattern), pattern);
  }
}

TEST(RegexTranslation, RewritesWhatTheyReadDifferently) {
  EXPECT_EQ(Translate("\\s\\S"), "\\p{White_Space}\\P{White_Space}");
  EXPECT_EQ(Translate("[^\\s\\d]"), "[^\\p{White_Space}\\p{Nd}]");
  EXPECT_EQ(Translate("\\v."), "\\x0b[^\\n]");
  EXPECT_EQ(Translate("(a)"), "(?:a)");
  EXPECT_EQ(Translate("\\p{Han}\\P{Han}\\p{^L}"), "\\p{sc:Han}\\P{sc:Han}\\P{L}");
  EXPECT_EQ(Translate("^a$\\A\\z\\Z\\G"),
            "(?:\\A|(?<=\\n)(?!\\z))a(?=\\n|\\z)\\A\\z(?=\\n?\\z)\\G");
  EXPECT_EQ(Translate("\\h[\\h]"), "[0-9A-Fa-f][0-9A-Fa-f]");
  EXPECT_EQ(Translate("[^[:digit:][:space:]]"), "[^\\p{Nd}\\p{White_Space}]");
  EXPECT_EQ(Translate("[-a^]"), "[\\-a\\^]");
  EXPECT_EQ(Translate("\\u00e9\\x41\\x{1F600}"), "\\x{00e9}\\x{41}\\x{1F600}");
}

TEST(RegexTranslation, IntersectionsBecomeLookaheads) {
  EXPECT_EQ(Translate("[a-z&&[^b]]"), "(?:(?=[a-z])[^b])");
  EXPECT_EQ(Translate("[a[^b]c]"), "(?:(?:[ac]|[^b]))");
  EXPECT_EQ(Translate("[^a&&b]"), "(?:(?!(?=[a])[b])[\\s\\S])");
  EXPECT_EQ(Translate("[&&a]"), "(?:(?=(?!))[a])");
}

TEST(RegexTranslation, KnowsPatternsThatNameNewCharacters) {
  const auto names = [](const std::string& pattern) {
    return TranslatePattern(pattern, "test").names_new_characters;
  };
  for (const char* pattern : {"\\p{L}", "[^\\s\\p{N}]", "\u2019s", "[\u4e00-\u9fa5]", "[^a]"}) {
    EXPECT_FALSE(names(pattern)) << pattern;
  }
  // U+1C89 is new, and an older letter stands in for it.
  for (const char* pattern :
       {"\u1c89", "\\u1c89", "[\u0800-\u4e00]", "\\x{10a0}", "[\\u1000-\\u2000]"}) {
    EXPECT_TRUE(names(pattern)) << pattern;
  }
}

TEST(RegexTranslation, RefusesByNameWhatItDoesNotKnow) {
  for (const char* pattern : {"\\R",
                              "\\X",
                              "\\1",
                              "\\K",
                              "^*",
                              "$+",
                              "\\b{2}",
                              "(?i)a",
                              "(?<name>a)",
                              "(?m:a)",
                              "[]a]",
                              "[a",
                              "[a[b]",
                              "[a-[b]]",
                              "[[a]-z]",
                              "[a-\\d]",
                              "[\\w-x]",
                              "[\\W]",
                              "[\\b]",
                              "[[:graph:]]",
                              "[[:alpha:]]",
                              "[[:alnum:]]",
                              "[[:^digit:]]",
                              "[[:digit:",
                              "a{,3}",
                              "a{x",
                              "a{2}+",
                              "a{2}?",
                              "\\p{Greek}",
                              "\\pL",
                              "\\p{L",
                              "\\",
                              "\\xe9",
                              "\\u12",
                              "\\x{}",
                              "\\x{12",
                              "(?i:\\p{Lu})",
                              "(?i:[a\\p{L}])",
                              "(?i:\\w)",
                              "(?i:\\b)",
                              "(?i:[[:digit:]])",
                              "(?i:\u00e9)",
                              "(?i:[\u00e9])",
                              "(?i:ss)",
                              "(?i:aSt)",
                              "[[[[[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]]]]"}) {
    EXPECT_THAT(test::MessageOf([&] { Translate(pattern); }), HasSubstr("is not supported"))
        << pattern;
  }
}

}  // namespace
}  // namespace sq
