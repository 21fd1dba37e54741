#include "sq/text/tokenizer_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

class TokenizerConfigTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ + "/" + name) << bytes;
  }

  const std::string folder_ = test::ScratchFolder();
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

TEST_F(TokenizerConfigTest, ReadsAddedTokensOfEitherKind) {
  Write("added_tokens.json", R"({"<pad>": 10, "more": 11})");
  Write("tokenizer_config.json", R"({"pad_token": "<pad>", "unk_token": "<pad>"})");
  TokenizerConfig config = ReadTokenizerConfig(folder_);
  EXPECT_EQ(config.special_tokens, std::vector<std::string>{"<pad>"});
  ASSERT_EQ(config.added_tokens.size(), 2u);
  EXPECT_EQ(config.added_tokens[0].id, 10);
  EXPECT_TRUE(config.added_tokens[0].special);
  EXPECT_EQ(config.added_tokens[1].content, "more");
  EXPECT_FALSE(config.added_tokens[1].special);
  Write("tokenizer_config.json",
        R"({"added_tokens_decoder": {"12": {"content": "x", "lstrip": true, "special": true}}})");
  config = ReadTokenizerConfig(folder_);
  ASSERT_EQ(config.added_tokens.size(), 1u);
  EXPECT_EQ(config.added_tokens[0].id, 12);
  EXPECT_TRUE(config.added_tokens[0].strip_left);
  const std::string what = folder_ + "/tokenizer_config.json: added_tokens_decoder: ";
  for (const char* key : {"x", "", "-1", "1x", "99999999999"}) {
    Write("tokenizer_config.json",
          std::string(R"({"added_tokens_decoder": {")") + key + R"(": {"content": "x"}}})");
    EXPECT_EQ(test::MessageOf([&] { ReadTokenizerConfig(folder_); }),
              what.substr(0, what.size() - 2) + ": expected an id from 0 to 2147483647, found " +
                  Quoted(key));
  }
}

TEST_F(TokenizerConfigTest, NamesFileAndKeyOfDamage) {
  const std::string path = folder_ + "/tokenizer_config.json";
  const auto message = [&](const std::string& bytes) {
    Write("tokenizer_config.json", bytes);
    return test::MessageOf([&] { ReadTokenizerConfig(folder_); });
  };
  EXPECT_EQ(message(R"({"bos_token": 7})"),
            path + ": \"bos_token\": expected a string, found an integer");
  EXPECT_EQ(message(R"({"bos_token": {}})"), path + ": \"bos_token\": no \"content\"");
  EXPECT_EQ(message(R"({"add_bos_token": "yes"})"),
            path + ": \"add_bos_token\": expected true or false, found a string");
  EXPECT_EQ(message("[1]"), path + ": expected an object, found an array");
}

}  // namespace
}  // namespace sq
