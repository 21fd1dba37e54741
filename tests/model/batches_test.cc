#include "sq/model/batches.h"

#include <gtest/gtest.h>

namespace sq {
namespace {

std::vector<std::vector<int32_t>> OfLengths(const std::vector<size_t>& lengths) {
  std::vector<std::vector<int32_t>> sequences;
  for (const size_t length : lengths) sequences.emplace_back(length, 1);
  return sequences;
}

TEST(BatchesTest, NeighboursOfOneLengthGoTogetherUpToTheBound) {
  const auto batches = BatchSequences(OfLengths({5, 5, 5, 7, 5, 30, 30}), 10);
  const std::vector<std::vector<int64_t>> expected = {
      {0, 2, 5, 0}, {2, 1, 5, 10}, {3, 1, 7, 15}, {4, 1, 5, 22}, {5, 1, 30, 27}, {6, 1, 30, 57}};
  ASSERT_EQ(batches.size(), expected.size());
  for (size_t b = 0; b < batches.size(); ++b) {
    const SequenceBatch& batch = batches[b];
    EXPECT_EQ((std::vector<int64_t>{batch.first, batch.count, batch.length, batch.begin}),
              expected[b]);
  }
}

TEST(BatchesTest, WithoutABoundEachIsAlone) {
  const auto batches = BatchSequences(OfLengths({3, 3}), 0);
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[1].first, 1);
  EXPECT_EQ(batches[1].begin, 3);
  EXPECT_TRUE(BatchSequences({}, 0).empty());
}

}  // namespace
}  // namespace sq
