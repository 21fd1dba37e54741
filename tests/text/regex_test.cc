#include "sq/text/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "tests/support/error_message.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

std::vector<std::string> Matches(const std::string& pattern, const std::string& text) {
  const Regex regex(pattern, "test");
  Regex::Scratch scratch;
  Regex::Match match;
  std::vector<std::string> found;
  for (size_t from = 0; regex.Find(text, from, &scratch, &match); from = match.end) {
    found.push_back(text.substr(match.begin, match.end - match.begin));
  }
  return found;
}

TEST(Regex, FindsLeftmostMatchesInUtf8) {
  EXPECT_THAT(Matches("\\p{L}+", "ab \xc3\xa9t 12 \xe6\xbc\xa2"),
              ElementsAre("ab", "\xc3\xa9t", "\xe6\xbc\xa2"));
  EXPECT_THAT(Matches("\\s+(?!\\S)|\\s+", "a   b  "), ElementsAre("  ", " ", "  "));
  EXPECT_THAT(Matches("(?i:'s|'t)", "It'S don't '\xc5\xbf"), ElementsAre("'S", "'t", "'\xc5\xbf"));
}

TEST(Regex, FindsNothingInEmptyText) {
  const Regex regex("a+", "test");
  Regex::Scratch scratch;
  Regex::Match match;
  EXPECT_FALSE(regex.Find({}, 0, &scratch, &match));
}

TEST(Regex, WhiteSpaceIsUnicodesNotPcres) {
  EXPECT_THAT(Matches("\\s", "\xe1\xa0\x8e"), ElementsAre());  // U+180E
  EXPECT_THAT(Matches("[\\s]", "\xc2\x85 \xe2\x80\xa8"),
              ElementsAre("\xc2\x85", " ", "\xe2\x80\xa8"));
}

TEST(Regex, LiteralTakesPatternsAtTheirWord) {
  const Regex regex = Regex::Literal(".*", "test");
  Regex::Scratch scratch;
  Regex::Match match;
  ASSERT_TRUE(regex.Find("a.*b", 0, &scratch, &match));
  EXPECT_EQ(match.begin, 1u);
  EXPECT_EQ(match.end, 3u);
  EXPECT_EQ(test::MessageOf([] { Regex::Literal("", "test"); }), "test: empty pattern");
}

TEST(Regex, RunsOfAMillionCharactersAreFine) {
  const std::string run(1000000, ' ');
  EXPECT_THAT(Matches("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", run), ElementsAre(run));
  EXPECT_THAT(Matches("(?:ab)+", run + "ab"), ElementsAre("ab"));
}

// Longer than the stack that the JIT has for the repeats of a group.
TEST(Regex, RunsOfAMillionOfAnIntersectionAreFine) {
  const std::string run(1000000, 'a');
  EXPECT_THAT(Matches("[\\p{L}\\p{M}&&[^b]]+", run + "b"), ElementsAre(run));
}

TEST(Regex, AnchorsAreOfLines) {
  EXPECT_THAT(Matches("^.", "ab\ncd\n"), ElementsAre("a", "c"));
  EXPECT_THAT(Matches(".$", "ab\ncd\r\n"), ElementsAre("b", "\r"));
  EXPECT_THAT(Matches("\\A.|.\\z", "ab\ncd"), ElementsAre("a", "d"));
  EXPECT_THAT(Matches(".\\Z", "ab\ncd\n"), ElementsAre("d"));
  EXPECT_THAT(Matches("\\s+$", "a  \n \nb "), ElementsAre("  \n ", " "));
}

TEST(Regex, WordsAreUnicodes) {
  EXPECT_THAT(Matches("\\b\\w+\\b", "l\u00e9 a\u0301-x_1 \u6f22\u00b2"),
              ElementsAre("l\u00e9", "a\u0301", "x_1", "\u6f22\u00b2"));
  EXPECT_THAT(Matches("[\\w]+", "a\u00b2"), ElementsAre("a"));  // a quirk of Oniguruma's
}

TEST(Regex, SpansCoverTheText) {
  const Regex regex("b*", "test");
  Regex::Scratch scratch;
  std::vector<std::string> spans;
  regex.ForEachSpan("abbc", &scratch, [&](const Regex::Span& span) {
    spans.push_back(std::string("abbc").substr(span.begin, span.end - span.begin) +
                    (span.match ? "!" : ""));
  });
  EXPECT_THAT(spans, ElementsAre("!", "a", "bb!", "c", "!"));
}

TEST(Regex, GivesUpOnEndlessSearches) {
  EXPECT_THAT(test::MessageOf([] { Matches("(?:a|aa)+[bc]", std::string(200, 'a')); }),
              StartsWith("test: regular expression: "));
}

TEST(Regex, RefusesBrokenPatterns) {
  for (const char* pattern : {"(", ")", "a**", "*", "[b-a]", "\\x{110000}", "(?<=a*)b"}) {
    EXPECT_THAT(test::MessageOf([&] { Regex(pattern, "test"); }),
                StartsWith("test: regular expression: "))
        << pattern;
  }
}

}  // namespace
}  // namespace sq
