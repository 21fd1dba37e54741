#include "sq/text/vocab_merges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/error_message.h"
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
  std::string Message(const std::string& tokenizer_class = "GPT2Tokenizer") {
    TokenizerConfig config;
    config.tokenizer_class = tokenizer_class;
    return test::MessageOf([&] { ReadVocabularyAndMerges(folder_, config); });
  }

  const std::string folder_ = test::ScratchFolder();
  const std::string vocabulary_ = folder_ + "/vocab.json";
  const std::string merges_ = folder_ + "/merges.txt";
};

// What each class makes of texts: tokenizer_test.cc, Configurations.
TEST_F(VocabMerges, ReadsBothFiles) {
  TokenizerConfig config;
  config.tokenizer_class = "GPT2Tokenizer";
  TokenizerParts parts = ReadVocabularyAndMerges(folder_, config);
  EXPECT_EQ(parts.vocabulary.at("ab"), 2);
  EXPECT_THAT(parts.merges, ElementsAre(std::pair<std::string, std::string>("a", "b")));
  EXPECT_TRUE(parts.normalizer.empty() && parts.added_tokens.empty() && parts.prefix.empty());
  EXPECT_THAT(MakeTokenizer(std::move(parts), config, "test")->Encode("abb"), ElementsAre(2, 1));
  config.tokenizer_class = "Qwen2Tokenizer";
  EXPECT_EQ(ReadVocabularyAndMerges(folder_, config).normalizer.size(), 1u);
}

TEST_F(VocabMerges, RefusesClassesWhoseRuleIsNotKnown) {
  const std::string missing = folder_ + ": no tokenizer.json in this folder";
  for (const char* name : {"WhisperTokenizer", "PreTrainedTokenizer", "LlamaTokenizer"}) {
    EXPECT_EQ(Message(name), missing + ": how the class \"" + name +
                                 "\" reads vocab.json and merges.txt is not known");
  }
  EXPECT_EQ(Message(""), missing +
                             ", and no tokenizer_class in tokenizer_config.json that would say how "
                             "vocab.json and merges.txt are meant");
}

TEST_F(VocabMerges, NamesFileAndLineOfDamage) {
  Write("merges.txt", "a b\nab\n");
  EXPECT_EQ(Message(), merges_ + ", line 2: expected two tokens and a space between them");
  Write("merges.txt", "a b c\n");
  EXPECT_EQ(Message(), merges_ + ", line 1: expected two tokens and a space between them");
  Write("vocab.json", R"({"a": -1})");
  EXPECT_EQ(Message(),
            vocabulary_ + ": token \"a\": expected an id from 0 to 2147483647, found -1");
  Write("vocab.json", R"({"a": "x"})");
  EXPECT_EQ(Message(), vocabulary_ + ": token \"a\": expected an integer, found a string");
  Write("vocab.json", "[]");
  EXPECT_EQ(Message(), vocabulary_ + ": expected an object, found an array");
}

}  // namespace
}  // namespace sq
