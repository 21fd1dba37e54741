#include "sq/text/tokenizer_class.h"

#include <gtest/gtest.h>

namespace sq {
namespace {

// What each class does to a text: tokenizer_test.cc, Configurations.
TEST(TokenizerClass, IsFoundWithAndWithoutFast) {
  ASSERT_NE(FindTokenizerClass("Qwen2Tokenizer"), nullptr);
  EXPECT_EQ(FindTokenizerClass("Qwen2TokenizerFast"), FindTokenizerClass("Qwen2Tokenizer"));
  EXPECT_EQ(FindTokenizerClass("PreTrainedTokenizerFast"),
            FindTokenizerClass("PreTrainedTokenizer"));
  for (const char* name : {"", "Fast", "Tokenizer", "T5Tokenizer", "qwen2tokenizer"}) {
    EXPECT_EQ(FindTokenizerClass(name), nullptr) << name;
  }
  EXPECT_EQ(TokenizerClassName("GPT2TokenizerFast"), "GPT2Tokenizer");
  EXPECT_EQ(TokenizerClassName("Fas"), "Fas");
}

TEST(TokenizerClass, OfAModelIsThatOfTransformers) {
  EXPECT_EQ(TokenizerClassOfModel("opt"), "GPT2Tokenizer");
  EXPECT_EQ(TokenizerClassOfModel("qwen3"), "Qwen2Tokenizer");
  EXPECT_EQ(TokenizerClassOfModel("llama"), "");
}

TEST(TokenizerClass, NamesAreUniqueAndTokensOfThoseThatArePutAroundTextsAreThere) {
  for (const char* name : {"RobertaTokenizer", "BartTokenizer", "MvpTokenizer"}) {
    const TokenizerClass* row = FindTokenizerClass(name);
    ASSERT_NE(row, nullptr) << name;
    EXPECT_EQ(row->name, name);
    EXPECT_EQ(row->vocab_merges_special_tokens, SpecialTokenRule::kClsAndSep);
    EXPECT_STREQ(row->tokens[3], "</s>");  // sep_token
    EXPECT_STREQ(row->tokens[5], "<s>");   // cls_token
  }
}

}  // namespace
}  // namespace sq
