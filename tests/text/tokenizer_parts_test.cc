#include "sq/text/tokenizer_parts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sq/text/utf8.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Bytes 0 to 255 have ids 0 to 255; "ab" is 256, <x> 257 (special), <y> 258.
TokenizerParts Parts() {
  TokenizerParts parts;
  for (int byte = 0; byte < 256; ++byte) {
    std::string token;
    AppendUtf8(ByteLevelCharacter(static_cast<unsigned char>(byte)), &token);
    parts.vocabulary[token] = byte;
  }
  parts.vocabulary["ab"] = 256;
  parts.merges = {{"a", "b"}};
  parts.added_tokens.resize(2);
  parts.added_tokens[0].id = 257;
  parts.added_tokens[0].content = "<x>";
  parts.added_tokens[0].special = true;
  parts.added_tokens[1].id = 258;
  parts.added_tokens[1].content = "<y>";
  parts.added_tokens[1].normalized = true;
  parts.decoder.push_back({DecodeKind::kByteLevel, "", "", 0, 0});
  parts.prefix = {257};
  parts.suffix = {258};
  return parts;
}

TEST(TokenizerParts, PutsThePartsTogether) {
  const auto tokenizer = MakeTokenizer(Parts(), {}, "test");
  EXPECT_EQ(tokenizer->VocabularySize(), 259);
  EXPECT_THAT(tokenizer->Encode("ab<y>b<x>"), ElementsAre(257, 256, 258, 'b', 257, 258));
  EXPECT_EQ(tokenizer->Decode({257, 256, 258}), "<x>ab<y>");
  EXPECT_EQ(tokenizer->Decode({257, 256, 258}, /*skip_special_tokens=*/true), "ab<y>");
  EXPECT_EQ(tokenizer->Decode({0xe6, 0xbc}), "\ufffd");
  EXPECT_FALSE(tokenizer->BosId() || tokenizer->EosId());
}

TEST(TokenizerParts, ConfigNamesBosAndEosAndNoMore) {
  TokenizerConfig config;
  config.bos_token = "<y>";
  config.eos_token = "nowhere";
  config.add_bos_token = true;
  const auto tokenizer = MakeTokenizer(Parts(), config, "test");
  EXPECT_EQ(tokenizer->BosId(), 258);
  EXPECT_EQ(tokenizer->EosId(), std::nullopt);
  EXPECT_THAT(tokenizer->Encode("a"), ElementsAre(257, 'a', 258));
}

TEST(TokenizerParts, RefusesPartsThatContradictEachOther) {
  const auto message = [](const TokenizerParts& original) {
    return test::MessageOf([&] {
      TokenizerParts parts = Parts();
      parts.vocabulary = original.vocabulary;
      parts.added_tokens = original.added_tokens;
      MakeTokenizer(std::move(parts), {}, "test");
    });
  };
  TokenizerParts parts = Parts();
  parts.added_tokens[1].id = 257;
  EXPECT_THAT(message(parts), HasSubstr("test: two tokens have id 257"));
  parts.added_tokens[1].content = "ab";
  EXPECT_EQ(message(parts), "test: added token \"ab\" has id 257, expected 256");
}

}  // namespace
}  // namespace sq
