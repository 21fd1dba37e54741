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
