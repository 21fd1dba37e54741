#include "sq/text/normalizer.h"

#include <gtest/gtest.h>

#include "tests/support/golden_text.h"

namespace sq {
namespace {

TEST(Normalizer, ComposesAsHuggingFaceDoes) {
  const std::vector<NormalizeStep> steps = {{NormalizeKind::kNfc, "", ""}};
  const nlohmann::json cases = ReadJsonFile(test::GoldenText("nfc.json"));
  ASSERT_GE(cases.size(), 100u);
  for (const nlohmann::json& item : cases) {
    const std::string text = item[0];
    EXPECT_EQ(Normalize(steps, text), item[1].get<std::string>()) << text;
  }
  EXPECT_EQ(Normalize(steps, "e\u0301 plain"), "\u00e9 plain");
}

TEST(Normalizer, StepsActInTurn) {
  const NormalizeStep prepend = {NormalizeKind::kPrepend, "", "_ "};
  const NormalizeStep replace = {NormalizeKind::kReplace, " ", "__"};
  EXPECT_EQ(Normalize({prepend, replace}, "a b"), "___a__b");
  EXPECT_EQ(Normalize({replace, prepend}, "a b"), "_ a__b");
  EXPECT_EQ(Normalize({prepend}, ""), "");
  EXPECT_EQ(Normalize({}, "a b"), "a b");
}

TEST(Normalizer, ReplacesMatchesStripsAndSpellsBytes) {
  NormalizeStep spaces = {NormalizeKind::kReplace, "", "_"};
  spaces.pattern = std::make_shared<const Regex>(" {2,}|\\s+$", "t");
  EXPECT_EQ(Normalize({spaces}, "a b  c \n"), "a b_c_");
  const NormalizeStep left = {NormalizeKind::kStripLeft, "", ""};
  const NormalizeStep right = {NormalizeKind::kStripRight, "", ""};
  EXPECT_EQ(Normalize({left}, "\u3000 a\n"), "a\n");
  EXPECT_EQ(Normalize({right}, "\u3000 a\n"), "\u3000 a");
  EXPECT_EQ(Normalize({left, right}, " \n"), "");
  EXPECT_EQ(Normalize({{NormalizeKind::kSpellBytes, "", ""}}, "a \u00e9"), "a\u0120\u00c3\u00a9");
}

TEST(Normalizer, ReplaceAllGoesFromLeftToRight) {
  EXPECT_EQ(ReplaceAll("aaaa a", "aa", "b"), "bb a");
  EXPECT_EQ(ReplaceAll("aaa", "aa", "a"), "aa");
  EXPECT_EQ(ReplaceAll("", "a", "b"), "");
}

}  // namespace
}  // namespace sq
