// Ids on all kinds of text: tokenizer_test.cc. Here: what the configuration changes, and decoding.
#include "sq/text/sentencepiece_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"

namespace sq {
namespace {

TokenizerConfig Config() {
  TokenizerConfig config;
  config.tokenizer_class = "LlamaTokenizer";
  config.bos_token = "<s>";
  config.eos_token = "</s>";
  return config;
}

std::unique_ptr<Tokenizer> Load(const TokenizerConfig& config = Config()) {
  return LoadSentencePieceTokenizer(test::GoldenText("llama/tokenizer.model"), config);
}

TEST(SentencePieceTokenizer, ConfigDecidesOnBosAndEos) {
  TokenizerConfig config = Config();
  EXPECT_EQ(Load(config)->Encode(""), (std::vector<int32_t>{1}));
  config.add_bos_token = false;
  config.add_eos_token = true;
  EXPECT_EQ(Load(config)->Encode(""), (std::vector<int32_t>{2}));
  config.bos_token = "</s>";
  config.add_bos_token = true;
  EXPECT_EQ(Load(config)->Encode(""), (std::vector<int32_t>{2, 2}));
  config.bos_token = std::nullopt;
  EXPECT_THAT(test::MessageOf([&] { Load(config); }),
              ::testing::HasSubstr("tokenizer.model: bos_token of tokenizer_config.json: expected "
                                   "a token to add around each text, found null"));
}

// The extra space of the older files, and what takes it away again.
TEST(SentencePieceTokenizer, PutsASpaceBeforeTheTextWhereNoneIs) {
  TokenizerConfig config = Config();
  const auto first = [&](const char* text) { return Load(config)->Encode(text)[1]; };
  const int32_t word = first("the"), spaces = first(" ");
  EXPECT_NE(first(" the"), word);  // legacy: always
  config.legacy = false;
  EXPECT_EQ(first("the"), word);
  EXPECT_EQ(first(" the"), word);
  EXPECT_NE(first(" "), spaces);
  config.add_prefix_space = false;
  EXPECT_NE(first("the"), word);
  EXPECT_EQ(first(" the"), word);
  config.legacy = true;
  EXPECT_NE(first("the"), word);
  EXPECT_EQ(first(" the"), word);
}

TEST(SentencePieceTokenizer, RefusesOtherClasses) {
  TokenizerConfig config = Config();
  for (const char* name : {"T5Tokenizer", "GPT2Tokenizer", "GemmaTokenizer"}) {
    config.tokenizer_class = name;
    EXPECT_THAT(
        test::MessageOf([&] { Load(config); }),
        ::testing::HasSubstr("tokenizer.model: no tokenizer.json beside it: how the class \"" +
                             std::string(name) + "\" reads this file is not known"));
  }
}

TEST(SentencePieceTokenizer, FindsAddedTokensOfTheConfiguration) {
  TokenizerConfig config = Config();
  config.added_tokens.resize(1);
  config.added_tokens[0].id = 900;
  config.added_tokens[0].content = "<pad>";
  const auto tokenizer = Load(config);
  const std::vector<int32_t> ids = tokenizer->Encode("<pad>");
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 900}));
  EXPECT_EQ(tokenizer->Decode(ids), "<s><pad>");
  EXPECT_EQ(tokenizer->VocabularySize(), 901);
  config.added_tokens[0].id = 5;
  EXPECT_THAT(test::MessageOf([&] { Load(config); }),
              ::testing::HasSubstr("added token \"<pad>\" has id 5, expected 900"));
}

TEST(SentencePieceTokenizer, DecodesWhatItEncodes) {
  const auto tokenizer = Load();
  EXPECT_EQ(tokenizer->VocabularySize(), 900);
  for (const std::string text :
       {"the model", "  two  spaces ", "\u6f22\u5b57 \U0001f600\n\t", "1234"}) {
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text), /*skip_special_tokens=*/true), text);
  }
  EXPECT_EQ(tokenizer->Decode({1, 2, 0}), "<s></s><unk>");
  EXPECT_EQ(tokenizer->Decode({1, 2, 0}, /*skip_special_tokens=*/true), "");
}

}  // namespace
}  // namespace sq
