// Ids on all kinds of text, against tiktoken: tiktoken_test.cc. Damage of files: also
// xgen_vocabulary_test.cc.
#include "sq/text/rank_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::UnorderedElementsAre;

class RankFile : public ::testing::Test {
 protected:
  RankFile() { std::filesystem::create_directories(folder_); }
  std::string Write(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary) << bytes;
    return path_;
  }

  const std::string folder_ = test::ScratchFolder();
  const std::string path_ = folder_ + "/tokenizer.model";
};

TEST_F(RankFile, IsToldByItsContent) {
  EXPECT_TRUE(IsRankFile(Write("IQ== 0\nIg== 1\n")));
  EXPECT_TRUE(IsRankFile(Write("IQ== 0")));
  EXPECT_TRUE(IsRankFile(Write("IQ== 0\r\n")));
  for (const char* bytes : {"", "\n", "IQ== 0 1\n", "IQ==\n", "I! 0\n", " 0\n", "IQ== -1\n",
                            "version https://git-lfs.github.com/spec/v1\n", "{\"a\": 1}\n"}) {
    EXPECT_FALSE(IsRankFile(Write(bytes))) << bytes;
  }
  EXPECT_TRUE(IsRankFile(test::GoldenText("xgen/r50k_base.tiktoken")));
  EXPECT_FALSE(IsRankFile(test::GoldenText("llama/tokenizer.model")));
  EXPECT_FALSE(IsRankFile(folder_));
  EXPECT_FALSE(IsRankFile(folder_ + "/none"));
}

TEST_F(RankFile, SpellsBytes) {
  EXPECT_THAT(
      ReadRankFile(Write("IQ== 0\r\n\nIGE= 1\n/w== 2")),
      UnorderedElementsAre(std::pair("!", 0), std::pair("\u0120a", 1), std::pair("\u00ff", 2)));
}

TEST_F(RankFile, NamesTheLineThatIsDamaged) {
  const auto message = [&](const std::string& bytes) {
    Write(bytes);
    return test::MessageOf([&] { ReadRankFile(path_); });
  };
  EXPECT_EQ(message("IQ== 0\nx\n"),
            path_ + ", line 2: expected a token in base64, a space and its rank, found \"x\"");
  EXPECT_EQ(message("IQ== 0\nIQ== 1\n"), path_ + ", line 2: duplicate token");
  EXPECT_EQ(message("IQ== 99999999999\n").rfind(path_ + ", line 1: expected a token", 0), 0u);
  EXPECT_EQ(message("IQ= 0\n"), path_ + ", line 1: expected base64, found \"IQ=\"");
}

TEST(MakeRankParts, JoinsTokensInEveryWay) {
  const TokenizerParts parts =
      MakeRankParts({{"a", 0}, {"b", 1}, {"ab", 2}, {"ba", 3}, {"aba", 4}}, "[ab]+", "t");
  EXPECT_THAT(parts.merges, UnorderedElementsAre(std::pair("a", "b"), std::pair("b", "a"),
                                                 std::pair("a", "ba"), std::pair("ab", "a")));
}

TEST(AddBosAndEos, HeedsTheConfiguration) {
  TokenizerParts parts;
  TokenizerConfig config;
  AddBosAndEos(config, &parts);
  EXPECT_TRUE(parts.prefix.empty() && parts.suffix.empty());
  for (const char* name : {"<s>", "</s>"}) {
    AddedToken& token = parts.added_tokens.emplace_back();
    token.id = static_cast<int32_t>(parts.added_tokens.size()) + 6;
    token.content = name;
  }
  config.bos_token = "<s>";
  config.eos_token = "</s>";
  AddBosAndEos(config, &parts);
  EXPECT_EQ(parts.prefix, std::vector<int32_t>{7});
  EXPECT_TRUE(parts.suffix.empty());
  config.add_bos_token = false;
  config.add_eos_token = true;
  parts.prefix.clear();
  AddBosAndEos(config, &parts);
  EXPECT_TRUE(parts.prefix.empty());
  EXPECT_EQ(parts.suffix, std::vector<int32_t>{8});
}

}  // namespace
}  // namespace sq
