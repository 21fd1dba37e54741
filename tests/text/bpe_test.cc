#include "sq/text/bpe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "sq/text/utf8.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using Merges = std::vector<std::pair<std::string, std::string>>;

const Vocabulary kVocabulary = {{"a", 0},  {"b", 1},   {"c", 2},    {"ab", 3},
                                {"bc", 4}, {"abc", 5}, {"abab", 6}, {"whole", 7}};

std::vector<int32_t> Encode(const Bpe& bpe, const std::string& word) {
  std::vector<int32_t> ids;
  bpe.Encode(word, &ids);
  return ids;
}

TEST(Bpe, BytesAreGpt2sCharacters) {
  EXPECT_EQ(ByteLevelCharacter('A'), U'A');
  EXPECT_EQ(ByteLevelCharacter(' '), U'\u0120');
  EXPECT_EQ(ByteLevelCharacter('\n'), U'\u010a');
  EXPECT_EQ(ByteLevelCharacter(0), U'\u0100');
  EXPECT_EQ(ByteLevelCharacter(0xad), U'\u0143');
  EXPECT_EQ(ByteLevelCharacter(0xff), U'\u00ff');
  for (int byte = 0; byte < 256; ++byte) {
    std::string token, bytes;
    AppendUtf8(ByteLevelCharacter(static_cast<unsigned char>(byte)), &token);
    AppendByteLevelBytes(token, &bytes);
    EXPECT_EQ(bytes, std::string(1, static_cast<char>(byte)));
  }
  std::string bytes;
  AppendByteLevelBytes("a \u0120", &bytes);  // a space stands for no byte
  EXPECT_EQ(bytes, "a \u0120");
}

TEST(Bpe, MergesLowestRankFirstLeftmostOfEquals) {
  const Bpe bpe(kVocabulary, {{"b", "c"}, {"a", "b"}, {"a", "bc"}, {"ab", "ab"}}, {}, "test");
  EXPECT_THAT(Encode(bpe, "abc"), ElementsAre(5));
  EXPECT_THAT(Encode(bpe, "abab"), ElementsAre(6));
  EXPECT_THAT(Encode(bpe, "ababab"), ElementsAre(6, 3));
  EXPECT_THAT(Encode(bpe, "cab"), ElementsAre(2, 3));
  EXPECT_THAT(Encode(bpe, ""), ElementsAre());
}

TEST(Bpe, BytesWithoutATokenAreDroppedOrUnknown) {
  const Merges merges = {{"a", "b"}};
  EXPECT_THAT(Encode(Bpe(kVocabulary, merges, {}, "test"), "xaxb"), ElementsAre(3));
  BpeOptions options;
  options.unknown_id = 9;
  EXPECT_THAT(Encode(Bpe(kVocabulary, merges, options, "test"), "xxaxb"),
              ElementsAre(9, 9, 0, 9, 1));
  options.fuse_unknown = true;
  EXPECT_THAT(Encode(Bpe(kVocabulary, merges, options, "test"), "xxaxb"), ElementsAre(9, 0, 9, 1));
}

TEST(Bpe, WholeWordsComeFirstIfMergesAreIgnored) {
  BpeOptions options;
  EXPECT_THAT(Encode(Bpe(kVocabulary, {{"a", "b"}}, options, "test"), "abc"), ElementsAre(3, 2));
  options.ignore_merges = true;
  const Bpe bpe(kVocabulary, {{"a", "b"}}, options, "test");
  EXPECT_THAT(Encode(bpe, "abc"), ElementsAre(5));
  EXPECT_THAT(Encode(bpe, "whole"), ElementsAre(7));
  EXPECT_THAT(Encode(bpe, "abcab"), ElementsAre(3, 2, 3));
}

TEST(Bpe, CharactersFallBackToBytes) {
  Vocabulary vocabulary = {{"\u00e9", 0}, {"a", 1}, {"\u00e9a", 2}, {"<0xE6>", 3}, {"<0xBC>", 4}};
  BpeOptions options;
  options.symbols = BpeSymbols::kCharacters;
  options.unknown_id = 9;
  const Merges merges = {{"\u00e9", "a"}};
  const auto encode = [&](const std::string& word) {
    return Encode(Bpe(vocabulary, merges, options, "test"), word);
  };
  EXPECT_THAT(encode("\u00e9a\u00e9"), ElementsAre(2, 0));
  EXPECT_THAT(encode("a\u6f22\u6f22a"), ElementsAre(1, 9, 9, 1));
  options.byte_fallback = true;  // but one byte of U+6F22 has no token
  EXPECT_THAT(encode("a\u6f22"), ElementsAre(1, 9));
  vocabulary["<0xA2>"] = 5;
  EXPECT_THAT(encode("a\u6f22"), ElementsAre(1, 3, 4, 5));
  // An unknown character waits for the next known one, not for bytes.
  options.fuse_unknown = true;
  EXPECT_THAT(encode("x\u6f22x\u00e9"), ElementsAre(3, 4, 5, 9, 0));
  options.ignore_merges = true;
  EXPECT_THAT(encode("<0xE6>"), ElementsAre(3));
}

TEST(Bpe, MergesRankByIdAsInTiktoken) {
  // "aaa" is made in two ways; by place in the list the second would come first.
  const Vocabulary vocabulary = {{"a", 0}, {"b", 1}, {"aa", 2}, {"aaa", 3}, {"ab", 4}};
  const Merges merges = {{"aa", "a"}, {"a", "b"}, {"a", "aa"}, {"a", "a"}};
  BpeOptions options;
  options.rank_by_id = true;
  EXPECT_THAT(Encode(Bpe(vocabulary, merges, options, "test"), "aab"), ElementsAre(2, 1));
  EXPECT_THAT(Encode(Bpe(vocabulary, merges, {}, "test"), "aab"), ElementsAre(0, 4));
}

TEST(Bpe, NamesAMergeOutsideTheVocabulary) {
  EXPECT_EQ(test::MessageOf([] {
              Bpe(kVocabulary, {{"a", "b"}, {"c", "z"}}, {}, "test");
            }),
            "test: merge 1 (\"c\", \"z\"): token \"z\" is not in the vocabulary");
  EXPECT_EQ(test::MessageOf([] {
              Bpe(kVocabulary, {{"c", "c"}}, {}, "test");
            }),
            "test: merge 0 (\"c\", \"c\"): token \"cc\" is not in the vocabulary");
}

TEST(Bpe, LongRunsTakeNoQuadraticTime) {
  Vocabulary vocabulary;
  Merges merges;
  std::string token = "a";
  for (int32_t id = 0; id < 10; ++id, token += token) {
    vocabulary[token] = id;
    if (id > 0) merges.emplace_back(token.substr(token.size() / 2), token.substr(token.size() / 2));
  }
  const Bpe bpe(vocabulary, merges, {}, "test");
  // 2^20 symbols: a quadratic algorithm would take hours.
  EXPECT_EQ(Encode(bpe, std::string(1 << 20, 'a')), std::vector<int32_t>(1 << 11, 9));
}

}  // namespace
}  // namespace sq
