#include "sq/text/pcre2_stand_ins.h"

#include <gtest/gtest.h>

#include "sq/text/regex.h"

namespace sq {
namespace {

TEST(Pcre2StandIns, LeaveOtherTextAlone) {
  const std::string text = "plain \u00e9 \u6f22 \U0001f600";
  std::string storage;
  EXPECT_EQ(WithStandIns(text, &storage).data(), text.data());
  EXPECT_EQ(WithStandIns("", &storage), "");
}

TEST(Pcre2StandIns, StandInsAreOfTheSameKindAndLength) {
  const struct {
    std::string text;
    const char* pattern;
  } cases[] = {{"\U00031350", "\\p{Han}"},  // CJK extension H, Unicode 15.0
               {"\U0002ebf0", "\\p{Lo}"},   // CJK extension I, 15.1
               {"\u1c89", "\\p{Lu}"},       // Cyrillic, 16.0
               {"\ua7cd", "\\p{Ll}"},      {"\u0897", "\\p{Mn}"},    {"\U00010d40", "\\p{Nd}"},
               {"\U0001fae9", "\\p{So}"},  {"\U00011b00", "\\p{Po}"}};
  for (const auto& [text, pattern] : cases) {
    std::string storage;
    const std::string around = "\n\n" + text + "\n" + text;
    const std::string_view changed = WithStandIns(around, &storage);
    ASSERT_EQ(changed.size(), around.size());
    const Regex regex(pattern, "test");
    Regex::Scratch scratch;
    Regex::Match match;
    ASSERT_TRUE(regex.Find(changed, 0, &scratch, &match)) << pattern;
    EXPECT_EQ(match.begin, 2u) << pattern;
    EXPECT_EQ(match.end, 2 + text.size()) << pattern;
    EXPECT_EQ(changed.substr(0, 2), "\n\n");
  }
}

TEST(Pcre2StandIns, KnowsThemAndWhatStandsInForThem) {
  EXPECT_TRUE(HasOrIsStandIn(0x1c89, 0x1c89));
  EXPECT_TRUE(HasOrIsStandIn(0x10a0, 0x10a0));
  EXPECT_TRUE(HasOrIsStandIn(0x1000, 0x2000));
  EXPECT_FALSE(HasOrIsStandIn(0, 0x7ff));
  EXPECT_FALSE(HasOrIsStandIn(0x4e00, 0x9fa5));
}

}  // namespace
}  // namespace sq
