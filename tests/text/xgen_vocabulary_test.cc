// Ids on all kinds of text, against tiktoken: tokenizer_test.cc. Here: the vocabulary and its
// files.
#include "sq/text/xgen_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

class XgenVocabulary : public ::testing::Test {
 protected:
  void SetUp() override {
    Write("tokenizer_config.json", R"({"tokenizer_class": "XgenTokenizer"})");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void Write(const std::string& name, const std::string& bytes) {
    std::filesystem::create_directories(folder_);
    std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes;
  }
  std::string Message() {
    return test::MessageOf([&] { LoadTokenizer(folder_); });
  }

  const std::string folder_ = test::ScratchFolder();
};

TEST_F(XgenVocabulary, LiesBehindThatOfGpt2) {
  const std::string folder = test::GoldenText("xgen");
  TokenizerConfig config;
  config.special_tokens.resize(2);
  config.special_tokens[0].token.content = "<|endoftext|>";
  config.special_tokens[1].token.content = "<pad>";
  const TokenizerParts parts = ReadXgenVocabulary(folder, config);
  const nlohmann::json gpt2 = ReadJsonFile(test::GoldenText("gpt2/tokenizer.json"));
  const auto base = static_cast<int32_t>(gpt2["model"]["vocab"].size());
  const auto id = [&](const std::string& content) {
    for (const AddedToken& token : parts.added_tokens) {
      if (token.content == content) return token.id - base;
    }
    return -base - 1;
  };
  // By their distance from the original's 50257.
  EXPECT_EQ(id("<|endoftext|>"), 50256 - 50257);
  EXPECT_EQ(parts.vocabulary.at("\u0120\u0120") - base, 50286 - 50257);
  EXPECT_EQ(parts.vocabulary.at("\u0109\u0109") - base, 50294 - 50257);
  EXPECT_EQ(id("<fim_prefix>"), 50295 - 50257);
  EXPECT_EQ(id("<reponame>"), 50312 - 50257);
  EXPECT_EQ(id("<sep>"), 50317 - 50257);
  EXPECT_EQ(id("<eom>"), 50318 - 50257);
  EXPECT_EQ(id("<mask_1>"), 51199 - 50257);
  EXPECT_EQ(id("<pad>"), 51200 - 50257);
}

TEST_F(XgenVocabulary, AllFilesOfGpt2AreGood) {
  const auto expected = LoadTokenizer(test::GoldenText("xgen"))->Encode("the model \t\t  x");
  std::filesystem::copy(test::GoldenText("gpt2/tokenizer.json"), folder_);
  nlohmann::json gpt2 = ReadJsonFile(folder_ + "/tokenizer.json");
  // That file's ids begin with "<|endoftext|>", not with a byte.
  nlohmann::json vocabulary;
  for (const auto& [token, id] : gpt2["model"]["vocab"].items()) {
    vocabulary[token] =
        token == "<|endoftext|>" ? gpt2["model"]["vocab"].size() - 1 : id.get<size_t>() - 1;
  }
  gpt2["model"]["vocab"] = vocabulary;
  for (nlohmann::json& token : gpt2["added_tokens"]) {
    if (token["content"] == "<|endoftext|>") token["id"] = vocabulary.size() - 1;
  }
  Write("tokenizer.json", gpt2.dump());
  EXPECT_EQ(LoadTokenizer(folder_)->Encode("the model \t\t  x"), expected);
  Write("tokenizer.json", "{");  // not looked at
  Write("vocab.json", vocabulary.dump());
  EXPECT_EQ(LoadTokenizer(folder_)->Encode("the model \t\t  x"), expected);
}

TEST_F(XgenVocabulary, NamesWhatIsMissingOrDamaged) {
  EXPECT_EQ(Message(), folder_ +
                           ": XGen's tokenizer needs GPT-2's vocabulary in this folder: vocab.json "
                           "or tokenizer.json of the model gpt2, or OpenAI's r50k_base.tiktoken");
  const std::string path = folder_ + "/r50k_base.tiktoken";
  const std::pair<const char*, const char*> damages[] = {
      {"IQ== 0\nIg=\n", ", line 2: expected a token in base64, a space and its rank"},
      {"IQ== x\n", ", line 1: expected a token in base64, a space and its rank, found \"IQ== x\""},
      {"IQ== -1\n", ", line 1: expected a token in base64, a space and its rank"},
      {"I! = 0\n", ", line 1: expected a token in base64"},
      {"IQ= 0\n", ", line 1: expected base64, found \"IQ=\""},
      {"I!== 0\n", ", line 1: expected base64, found \"I!==\""},
      {"IQ== 1\n", ": not GPT-2's vocabulary: token \"!\" has id 1, expected each of 0 to 0 once"},
      {"IQ== 0\n", ": not GPT-2's vocabulary: no token for byte 0"},
      {"", ": not GPT-2's vocabulary: no token for byte 0"}};
  for (const auto& [bytes, message] : damages) {
    Write("r50k_base.tiktoken", bytes);
    EXPECT_THAT(Message(), HasSubstr(path + message)) << bytes;
  }
}

}  // namespace
}  // namespace sq
