#include "sq/text/tokenizer_config.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

std::vector<std::string> Names(const TokenizerConfig& config) {
  std::vector<std::string> names;
  for (const NamedToken& named : config.special_tokens) names.push_back(named.token.content);
  return names;
}

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

TEST_F(TokenizerConfigTest, SpecialTokensMapCountsMoreUnlessADecoderIsThere) {
  EXPECT_EQ(ReadTokenizerConfig(folder_).bos_token, std::nullopt);
  Write("special_tokens_map.json", R"({"bos_token": "<a>", "eos_token": null})");
  EXPECT_EQ(ReadTokenizerConfig(folder_).bos_token, "<a>");
  Write("tokenizer_config.json",
        R"({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})");
  EXPECT_EQ(ReadTokenizerConfig(folder_).bos_token, "<a>");
  EXPECT_EQ(ReadTokenizerConfig(folder_).eos_token, std::nullopt);
  EXPECT_EQ(Names(ReadTokenizerConfig(folder_)), (std::vector<std::string>{"<a>", "<unk>"}));
  Write("tokenizer_config.json", R"({"bos_token": "<s>", "added_tokens_decoder": {}})");
  EXPECT_EQ(Names(ReadTokenizerConfig(folder_)), (std::vector<std::string>{"<s>"}));
}

TEST_F(TokenizerConfigTest, ClassGivesTheTokensThatAreNotNamed) {
  Write("tokenizer_config.json", R"({"tokenizer_class": "Qwen2TokenizerFast", "eos_token": null})");
  TokenizerConfig config = ReadTokenizerConfig(folder_);
  EXPECT_EQ(config.tokenizer_class, "Qwen2Tokenizer");
  EXPECT_EQ(config.eos_token, std::nullopt);
  EXPECT_EQ(Names(config), (std::vector<std::string>{"<|endoftext|>"}));
  EXPECT_EQ(config.add_prefix_space, false);
  Write("tokenizer_config.json",
        R"({"tokenizer_class": "CodeLlamaTokenizer", "eot_token": null, "prefix_token": "<P>"})");
  config = ReadTokenizerConfig(folder_);
  EXPECT_EQ(config.bos_token, "<s>");
  EXPECT_EQ(Names(config), (std::vector<std::string>{"<s>", "</s>", "<unk>", "<P>", "\u2581<MID>",
                                                     "\u2581<SUF>"}));
  EXPECT_EQ(config.add_prefix_space, std::nullopt);
}

TEST_F(TokenizerConfigTest, ClassIsThatOfTheModelWhereTheFileNamesNone) {
  const auto class_of = [&](const std::string& model) {
    Write("config.json", model);
    return ReadTokenizerConfig(folder_).tokenizer_class;
  };
  EXPECT_EQ(class_of(R"({"model_type": "qwen3"})"), "Qwen2Tokenizer");
  EXPECT_EQ(class_of(R"({"model_type": "opt", "tokenizer_class": "XTokenizerFast"})"),
            "XTokenizer");
  EXPECT_EQ(class_of(R"({"model_type": "llama"})"), "");
  Write("tokenizer.model", "");
  EXPECT_EQ(class_of(R"({"model_type": "llama"})"), "LlamaTokenizer");
  Write("tokenizer.json", "");
  EXPECT_EQ(class_of(R"({"model_type": "qwen3"})"), "");
  Write("tokenizer_config.json",
        R"({"tokenizer_class": "LlamaTokenizer", "backend": "tokenizers"})");
  EXPECT_EQ(class_of(R"({"model_type": "qwen3"})"), "TokenizersBackend");
}

TEST_F(TokenizerConfigTest, ListsOfSpecialTokensKeepTheirOrder) {
  Write("tokenizer_config.json",
        R"({"extra_special_tokens": {"z": "<z>", "a": {"content": "<a>", "lstrip": true}},
            "additional_special_tokens": ["<x>", "", "<z>"], "mask_token": "<m>"})");
  const TokenizerConfig config = ReadTokenizerConfig(folder_);
  EXPECT_EQ(Names(config), (std::vector<std::string>{"<m>", "<x>", "<z>", "<a>"}));
  EXPECT_TRUE(config.special_tokens[3].token.strip_left && config.special_tokens[3].is_object);
  EXPECT_TRUE(config.special_tokens[1].is_listed && !config.special_tokens[0].is_listed);
}

TEST_F(TokenizerConfigTest, RefusesSettingsThatWouldChangeIds) {
  const auto message = [&](const std::string& bytes) {
    Write("tokenizer_config.json", bytes);
    return test::MessageOf([&] { ReadTokenizerConfig(folder_); });
  };
  const std::string path = folder_ + "/tokenizer_config.json: ";
  EXPECT_EQ(message(R"({"add_special_tokens": false})"),
            path + "\"add_special_tokens\": false is not supported");
  EXPECT_EQ(message(R"({"vocab": {"a": 1}})"), path + R"("vocab": {"a":1} is not supported)");
  EXPECT_EQ(message(R"({"init_inputs": [1]})"), path + "\"init_inputs\": [1] is not supported");
  EXPECT_EQ(message(R"({"fast_tokenizer_files": ["tokenizer.json", "tokenizer.4.0.json"]})"),
            path + R"("fast_tokenizer_files": ["tokenizer.json","tokenizer.4.0.json"])" +
                " is not supported");
  EXPECT_EQ(message(R"({"add_special_tokens": true, "vocab": null, "init_inputs": [],
                        "fast_tokenizer_files": ["tokenizer.json"], "do_lower_case": true})"),
            "");
}

TEST_F(TokenizerConfigTest, ReadsAddedTokensOfEitherKind) {
  Write("added_tokens.json", R"({"<pad>": 10, "more": 11})");
  Write("tokenizer_config.json", R"({"pad_token": "<pad>", "unk_token": "<pad>"})");
  TokenizerConfig config = ReadTokenizerConfig(folder_);
  EXPECT_EQ(Names(config), std::vector<std::string>{"<pad>"});
  ASSERT_EQ(config.added_tokens.size(), 2u);
  EXPECT_EQ(config.added_tokens[0].id, 10);
  EXPECT_TRUE(config.added_tokens[0].special);
  EXPECT_EQ(config.added_tokens[1].content, "more");
  EXPECT_FALSE(config.added_tokens[1].special);
  EXPECT_TRUE(config.added_tokens[1].normalized);
  EXPECT_FALSE(config.has_added_tokens_decoder);
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
            path + ": bos_token: expected a string, found an integer");
  EXPECT_EQ(message(R"({"bos_token": {}})"), path + ": bos_token: no \"content\"");
  EXPECT_EQ(message(R"({"additional_special_tokens": "<x>"})"),
            path + ": additional_special_tokens: expected an array, found a string");
  EXPECT_EQ(message(R"({"additional_special_tokens": [7]})"),
            path + ": additional_special_tokens: expected a string, found an integer");
  EXPECT_EQ(message(R"({"tokenizer_class": 7})"),
            path + ": \"tokenizer_class\": expected a string, found an integer");
  EXPECT_EQ(message(R"({"add_bos_token": "yes"})"),
            path + ": \"add_bos_token\": expected true or false, found a string");
  EXPECT_EQ(message("[1]"), path + ": expected an object, found an array");
}

}  // namespace
}  // namespace sq
