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

TEST(Normalizer, ReplaceAllGoesFromLeftToRight) {
  EXPECT_EQ(ReplaceAll("aaaa a", "aa", "b"), "bb a");
  EXPECT_EQ(ReplaceAll("aaa", "aa", "a"), "aa");
  EXPECT_EQ(ReplaceAll("", "a", "b"), "");
}

}  // namespace
}  // namespace sq
