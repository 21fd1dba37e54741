// Whole tokenizers against Hugging Face's: tokenizer_json_test.cc.
#include "sq/text/unigram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/support/error_message.h"

namespace sq {
namespace {

using ::testing::ElementsAre;

std::vector<int32_t> Encode(const UnigramOptions& options, const std::string& word) {
  std::vector<int32_t> ids;
  Unigram(options, "t").Encode(word, &ids);
  return ids;
}

TEST(Unigram, TakesTheLargestSumOfScores) {
  const UnigramOptions options = {
      {{"<unk>", 0}, {"a", -1}, {"b", -1}, {"ab", -1.5}, {"bc", -0.5}, {"c", -3}}, 0, false};
  EXPECT_THAT(Encode(options, "ab"), ElementsAre(3));
  EXPECT_THAT(Encode(options, "abc"), ElementsAre(1, 4));
  EXPECT_THAT(Encode(options, "aab"), ElementsAre(1, 3));
  EXPECT_THAT(Encode(options, ""), ElementsAre());
}

TEST(Unigram, UnknownCharactersAreOneTokenOrBytes) {
  UnigramOptions options = {{{"<unk>", 0}, {"a", -1}, {"\u6f22\u6f22", -1}}, 0, false};
  EXPECT_THAT(Encode(options, "xya\u00e9"), ElementsAre(0, 1, 0));
  EXPECT_THAT(Encode(options, "\u6f22\u6f22\u6f22a"), ElementsAre(0, 2, 1));  // the way found first
  options.byte_fallback = true;
  EXPECT_THAT(Encode(options, "x"), ElementsAre(0));  // not all bytes have pieces
  options.pieces.emplace_back("<0xC3>", -9);
  options.pieces.emplace_back("<0xA9>", -9);
  EXPECT_THAT(Encode(options, "a\u00e9a"), ElementsAre(1, 3, 4, 1));
  EXPECT_THAT(Encode(options, "a\u00e9xa"), ElementsAre(1, 0, 1));  // the run as a whole
}

TEST(Unigram, IsTheBestOfAllWays) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    UnigramOptions options;
    for (const char* text : {"a", "b", "c", "ab", "ba", "bc", "abc", "cab", "aab", "bcab"}) {
      options.pieces.emplace_back(text, -static_cast<double>(random() % 1000) / 128 - 1);
    }
    std::string word;
    for (int i = 0; i < 9; ++i) word.push_back(static_cast<char>('a' + random() % 3));
    std::vector<double> best(word.size() + 1, -1e9);
    best[0] = 0;
    for (size_t end = 1; end <= word.size(); ++end) {
      for (const auto& [text, score] : options.pieces) {
        if (text.size() > end || word.compare(end - text.size(), text.size(), text) != 0) continue;
        best[end] = std::max(best[end], best[end - text.size()] + score);
      }
    }
    double score = 0;
    std::string joined;
    for (const int32_t id : Encode(options, word)) {
      score += options.pieces[id].second;
      joined += options.pieces[id].first;
    }
    EXPECT_EQ(joined, word);
    EXPECT_NEAR(score, best.back(), 1e-9);
  }
}

TEST(Unigram, NamesWhatIsWrong) {
  using Pieces = std::vector<std::pair<std::string, double>>;
  const auto message = [](Pieces pieces, int32_t unknown) {
    return test::MessageOf([&] { Encode({std::move(pieces), unknown, false}, "x"); });
  };
  EXPECT_EQ(message({{"a", 0}, {"a", -1}}, 0), "t: piece \"a\" is a duplicate");
  EXPECT_EQ(message({{"a", 0}}, 1), "t: \"unk_id\": expected an id below 1, found 1");
  EXPECT_EQ(message({{"a", 1e308 * 10}}, 0), "t: piece \"a\": expected a score, found inf");
  EXPECT_EQ(message({{"a", 0}}, -1), "t: no piece for \"x\" and no \"unk_id\"");
}

}  // namespace
}  // namespace sq
