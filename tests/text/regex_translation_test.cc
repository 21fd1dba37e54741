#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sq/text/regex.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

std::string Translate(const std::string& pattern) { return TranslatePattern(pattern, "test"); }

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
  EXPECT_EQ(Translate("\\u00e9\\x41\\x{1F600}"), "\\x{00e9}\\x{41}\\x{1F600}");
}

TEST(RegexTranslation, RefusesByNameWhatItDoesNotKnow) {
  for (const char* pattern :
       {"\\w",        "\\b",    "\\h",          "\\R",           "\\1",   "^a", "a$",    "(?i)a",
        "(?<name>a)", "(?m:a)", "[a[b]]",       "[a&&b]",        "[]a]",  "[a", "a{,3}", "a{x",
        "a{2}+",      "a{2}?",  "\\p{Greek}",   "\\pL",          "\\p{L", "\\", "\\xe9", "\\u12",
        "\\x{}",      "\\x{12", "(?i:\\p{Lu})", "(?i:[a\\p{L}])"}) {
    EXPECT_THAT(test::MessageOf([&] { Translate(pattern); }), HasSubstr("is not supported"))
        << pattern;
  }
}

}  // namespace
}  // namespace sq
