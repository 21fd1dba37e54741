// Ids on all kinds of text: tokenizer_test.cc. Here: what the configuration changes, and decoding.
#include "sq/text/sentencepiece_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"

namespace sq {
namespace {

std::unique_ptr<Tokenizer> Load(const TokenizerConfig& config = {}) {
  return LoadSentencePieceTokenizer(test::GoldenText("llama/tokenizer.model"), config);
}

TEST(SentencePieceTokenizer, ConfigDecidesOnBosAndEos) {
  TokenizerConfig config;
  EXPECT_EQ(Load(config)->Encode(""), (std::vector<int32_t>{1}));
  config.add_bos_token = false;
  config.add_eos_token = true;
  EXPECT_EQ(Load(config)->Encode(""), (std::vector<int32_t>{2}));
  config.bos_token = "</s>";
  config.add_bos_token = true;
  EXPECT_EQ(Load(config)->Encode(""), (std::vector<int32_t>{2, 2}));
}

TEST(SentencePieceTokenizer, EncodesWithoutLegacyAsHuggingFaceDoes) {
  TokenizerConfig config;
  config.legacy = false;
  EXPECT_EQ(test::Summary(*Load(config), test::ShortGoldenTexts()),
            ReadJsonFile(test::GoldenText("llama/not_legacy.json")));
}

TEST(SentencePieceTokenizer, FindsAddedTokensOfTheConfiguration) {
  TokenizerConfig config;
  config.added_tokens.resize(1);
  config.added_tokens[0].id = 902;
  config.added_tokens[0].content = "<pad>";
  const auto tokenizer = Load(config);
  const std::vector<int32_t> ids = tokenizer->Encode("<pad>");
  EXPECT_EQ(ids, (std::vector<int32_t>{1, 902}));
  EXPECT_EQ(tokenizer->Decode(ids), "<s><pad>");
  EXPECT_EQ(tokenizer->VocabularySize(), 903);
  config.added_tokens[0].id = 5;
  EXPECT_THAT(test::MessageOf([&] { Load(config); }),
              ::testing::HasSubstr(
                  "added token \"<pad>\" has id 5, which is that of the piece \"<0x02>\""));
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
