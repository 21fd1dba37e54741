#include "sq/text/tokenizer_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/error_message.h"

namespace sq {
namespace {

class TokenizerConfigTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ + "/" + name) << bytes;
  }

  const std::string folder_ = SQ_TEST_SCRATCH "/tokenizer_config_test";
};

TEST_F(TokenizerConfigTest, ReadsTokensAsStringsOrObjects) {
  Write("tokenizer_config.json",
        R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false},
                                     "add_bos_token": true, "add_eos_token": null, "legacy": false,
                                     "tokenizer_class": "LlamaTokenizer", "unknown": [1]})");
  const TokenizerConfig config = ReadTokenizerConfig(folder_);
  EXPECT_EQ(config.bos_token, "<s>");
  EXPECT_EQ(config.eos_token, "</s>");
  EXPECT_EQ(config.add_bos_token, true);
  EXPECT_EQ(config.add_eos_token, std::nullopt);
  EXPECT_EQ(config.legacy, false);
  EXPECT_EQ(config.tokenizer_class, "LlamaTokenizer");
}

TEST_F(TokenizerConfigTest, SpecialTokensMapFillsTheGaps) {
  EXPECT_EQ(ReadTokenizerConfig(folder_).bos_token, std::nullopt);
  Write("special_tokens_map.json", R"({"bos_token": "<a>", "eos_token": "<b>"})");
  EXPECT_EQ(ReadTokenizerConfig(folder_).bos_token, "<a>");
  Write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  EXPECT_EQ(ReadTokenizerConfig(folder_).bos_token, "<s>");
  EXPECT_EQ(ReadTokenizerConfig(folder_).eos_token, "<b>");
}

TEST_F(TokenizerConfigTest, NamesFileAndKeyOfDamage) {
  const std::string path = folder_ + "/tokenizer_config.json";
  const auto message = [&](const std::string& bytes) {
    Write("tokenizer_config.json", bytes);
    return test::MessageOf([&] { ReadTokenizerConfig(folder_); });
  };
  EXPECT_EQ(message(R"({"bos_token": 7})"),
            path + ": \"bos_token\": expected a string, found an integer");
  EXPECT_EQ(message(R"({"bos_token": {}})"), path + ": bos_token: no \"content\"");
  EXPECT_EQ(message(R"({"add_bos_token": "yes"})"),
            path + ": \"add_bos_token\": expected true or false, found a string");
  EXPECT_EQ(message("[1]"), path + ": expected an object, found an array");
}

}  // namespace
}  // namespace sq
