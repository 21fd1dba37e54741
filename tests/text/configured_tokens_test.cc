// Against transformers: tokenizer_test.cc, Configurations. Here: ids, and what is refused.
#include "sq/text/configured_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/error_message.h"

namespace sq {
namespace {

using ::testing::ElementsAre;

AddedToken Token(int32_t id, const std::string& content, bool special = false) {
  AddedToken token;
  token.id = id;
  token.content = content;
  token.special = special;
  return token;
}

NamedToken Named(const std::string& content) {
  NamedToken named;
  named.token = Token(-1, content, /*special=*/true);
  return named;
}

// A vocabulary of "a" and "b" (ids 0 and 1) with the added token "<old>" (id 5).
TokenizerParts Parts() {
  TokenizerParts parts;
  parts.vocabulary = {{"a", 0}, {"b", 1}};
  parts.added_tokens = {Token(5, "<old>")};
  return parts;
}

// The tokens as "id:content", with a "*" if special and a "-" if hidden.
std::vector<std::string> Add(const TokenizerConfig& config) {
  TokenizerParts parts = Parts();
  AddConfiguredTokens(config, "test", &parts);
  std::vector<std::string> tokens;
  for (const AddedToken& token : parts.added_tokens) {
    tokens.push_back(std::to_string(token.id) + ":" + token.content + (token.special ? "*" : "") +
                     (token.hidden ? "-" : ""));
  }
  return tokens;
}

TEST(ConfiguredTokens, GetTheVocabularysIdOrElseTheNextFreeOne) {
  TokenizerConfig config;
  EXPECT_THAT(Add(config), ElementsAre("5:<old>"));
  config.added_tokens = {Token(6, "<c>"), Token(7, "<d>", true)};
  config.special_tokens = {Named("b"), Named("<e>"), Named("<d>")};
  EXPECT_THAT(Add(config), ElementsAre("5:<old>", "6:<c>", "7:<d>*", "1:b*", "8:<e>*"));
}

TEST(ConfiguredTokens, ANameMakesAKnownTokenSpecialUnlessADecoderLeavesItOut) {
  TokenizerConfig config;
  config.special_tokens = {Named("<old>")};
  EXPECT_THAT(Add(config), ElementsAre("5:<old>*"));
  config.has_added_tokens_decoder = true;
  EXPECT_THAT(Add(config), ElementsAre("5:<old>"));
  config.special_tokens[0].is_object = true;
  EXPECT_THAT(Add(config), ElementsAre("5:<old>*"));
}

TEST(ConfiguredTokens, SplitSpecialTokensHidesSpecialOnes) {
  TokenizerConfig config;
  config.split_special_tokens = true;
  config.special_tokens = {Named("<e>")};
  EXPECT_THAT(Add(config), ElementsAre("5:<old>", "6:<e>*-"));
}

TEST(ConfiguredTokens, EndWhereIdsEnd) {
  TokenizerParts parts = Parts();
  parts.added_tokens = {Token(2147483646, "<old>")};
  TokenizerConfig config;
  config.special_tokens = {Named("<e>"), Named("<f>")};
  EXPECT_EQ(test::MessageOf([&] { AddConfiguredTokens(config, "test", &parts); }),
            "test: no id is left for the token \"<f>\"");
}

TEST(ConfiguredTokens, RefusesAnotherId) {
  TokenizerConfig config;
  const auto message = [&](AddedToken token) {
    config.added_tokens = {std::move(token)};
    return test::MessageOf([&] { Add(config); });
  };
  EXPECT_EQ(message(Token(9, "<c>")),
            "test: added_tokens.json: added token \"<c>\" has id 9, expected 6");
  EXPECT_EQ(message(Token(0, "b")),
            "test: added_tokens.json: added token \"b\" has id 0, expected 1");
  EXPECT_EQ(message(Token(4, "<old>")),
            "test: added_tokens.json: added token \"<old>\" has id 4, expected 5");
  config.has_added_tokens_decoder = true;
  EXPECT_EQ(message(Token(9, "<c>")),
            "test: tokenizer_config.json: added token \"<c>\" has id 9, expected 6");
  EXPECT_EQ(message(Token(5, "<old>")), "");
  EXPECT_EQ(message(Token(9, "")), "");
}

}  // namespace
}  // namespace sq
