#include "sq/text/vocab_merges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::ElementsAre;

class VocabMerges : public ::testing::Test {
 protected:
  void SetUp() override {
    Write("vocab.json", R"({"a": 0, "b": 1, "ab": 2, "</s>": 3, "<|endoftext|>": 4})");
    Write("merges.txt", "#version: 0.2\na b\r\n\n");
  }
  void Write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes;
  }
  BpeParts Read(const TokenizerConfig& config = {}) {
    return ReadVocabularyAndMerges(vocabulary_, merges_, config);
  }

  const std::string folder_ = test::ScratchFolder();
  const std::string vocabulary_ = folder_ + "/vocab.json";
  const std::string merges_ = folder_ + "/merges.txt";
};

TEST_F(VocabMerges, EncodesAsHuggingFaceDoes) {
  const nlohmann::json gpt2 = ReadJsonFile(test::GoldenText("gpt2/tokenizer.json"));
  Write("vocab.json", gpt2["model"]["vocab"].dump());
  std::string merges = "#version: 0.2\n";
  for (const nlohmann::json& merge : gpt2["model"]["merges"]) {
    merges += merge.get<std::string>() + "\n";
  }
  Write("merges.txt", merges);
  Write("tokenizer_config.json", R"({"add_bos_token": true, "bos_token": "<|endoftext|>"})");
  const auto tokenizer = LoadTokenizer(folder_);
  EXPECT_EQ(test::Summary(*tokenizer, test::ShortGoldenTexts()),
            ReadJsonFile(test::GoldenText("vocab_merges.json")));
  std::filesystem::remove(folder_ + "/tokenizer_config.json");
}

TEST_F(VocabMerges, FindsTheTokensThatTheConfigurationNames) {
  const auto encode = [&](const TokenizerConfig& config, const char* text) {
    return MakeBpeTokenizer(Read(config), config, "test")->Encode(text);
  };
  EXPECT_THAT(encode({}, "ab<|endoftext|>b"), ElementsAre(2, 4, 1));
  TokenizerConfig config;
  config.special_tokens = {"</s>", "<pad>"};
  config.added_tokens.resize(1);
  config.added_tokens[0].id = 7;
  config.added_tokens[0].content = "<pad>";
  EXPECT_THAT(encode(config, "ab</s><pad>"), ElementsAre(2, 3, 7));
  EXPECT_TRUE(Read(config).added_tokens[0].special);
}

TEST_F(VocabMerges, NamesFileAndLineOfDamage) {
  const auto message = [&](const TokenizerConfig& config = {}) {
    return test::MessageOf([&] { Read(config); });
  };
  TokenizerConfig config;
  config.special_tokens = {"<none>"};
  EXPECT_EQ(message(config), vocabulary_ + ": special token \"<none>\" is not in the vocabulary");
  Write("merges.txt", "a b\nab\n");
  EXPECT_EQ(message(), merges_ + ", line 2: expected two tokens and a space between them");
  Write("merges.txt", "a b c\n");
  EXPECT_EQ(message(), merges_ + ", line 1: expected two tokens and a space between them");
  Write("vocab.json", R"({"a": -1})");
  EXPECT_EQ(message(),
            vocabulary_ + ": token \"a\": expected an id from 0 to 2147483647, found -1");
  Write("vocab.json", R"({"a": "x"})");
  EXPECT_EQ(message(), vocabulary_ + ": token \"a\": expected an integer, found a string");
  Write("vocab.json", "[]");
  EXPECT_EQ(message(), vocabulary_ + ": expected an object, found an array");
}

}  // namespace
}  // namespace sq
