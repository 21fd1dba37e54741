// BalancedStartRows of packed_checkpoint.h.
#include <gmock/gmock.h>

#include <random>

#include "sq/checkpoint/packed_checkpoint.h"

namespace sq {
namespace {

using ::testing::IsEmpty;

// The description in plain loops over all rows for each thread.
std::vector<int32_t> StartRowsByLoops(const Csr& csr) {
  const int64_t nonzeros = csr.NonZeros();
  const int64_t out = static_cast<int64_t>(csr.row_ptr.size()) - 1;
  const auto divide_up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const int64_t threads = 128 * divide_up(divide_up(nonzeros, 10), 128);
  std::vector<int32_t> rows;
  for (int64_t i = 0; i < threads; ++i) {
    const int64_t first = divide_up(nonzeros, threads) * i;
    int32_t row = first > nonzeros ? -1 : 0;
    for (int64_t j = 0; first <= nonzeros && j < out; ++j) {
      if (csr.row_ptr[j] < first) row = static_cast<int32_t>(j);
    }
    rows.push_back(row);
  }
  return rows;
}

Csr RandomCsr(const std::vector<int64_t>& row_lengths) {
  Csr csr;
  csr.row_ptr.push_back(0);
  for (const int64_t length : row_lengths) {
    for (int64_t i = 0; i < length; ++i) csr.cols.push_back(static_cast<int32_t>(i));
    csr.row_ptr.push_back(static_cast<int32_t>(csr.cols.size()));
  }
  csr.vals.assign(csr.cols.size(), 1);
  return csr;
}

TEST(BalancedStartRows, AgreesWithPlainLoops) {
  std::mt19937 random(1);
  for (const int64_t rows : {1, 2, 7, 64, 1000}) {
    for (const int64_t most : {1, 3, 50, 400}) {
      std::vector<int64_t> lengths(static_cast<size_t>(rows));
      for (int64_t& length : lengths) length = static_cast<int64_t>(random() % (most + 1));
      const Csr csr = RandomCsr(lengths);
      EXPECT_EQ(BalancedStartRows(csr), StartRowsByLoops(csr)) << rows << " rows up to " << most;
    }
  }
}

TEST(BalancedStartRows, AgreesOnEmptyAndCrowdedRows) {
  const std::vector<std::vector<int64_t>> cases = {
      {1},           {0, 0, 1},     {1, 0, 0},       {0, 2000, 0}, {2000, 0, 0, 0, 1},
      {0, 0, 0, 10}, {1279, 0, 1},  {1280},          {1281},       {0, 1280, 0, 1280},
      {5, 0, 0, 5},  {128, 0, 128}, {1, 1, 1, 1, 1}, {12801, 3}};
  for (const std::vector<int64_t>& lengths : cases) {
    const Csr csr = RandomCsr(lengths);
    EXPECT_EQ(BalancedStartRows(csr), StartRowsByLoops(csr)) << ::testing::PrintToString(lengths);
  }
}

TEST(BalancedStartRows, ThreadsComeInBlocksOf128) {
  EXPECT_THAT(BalancedStartRows({}), IsEmpty());
  EXPECT_THAT(BalancedStartRows({{0, 0, 0}, {}, {}}), IsEmpty());
  EXPECT_EQ(BalancedStartRows(RandomCsr({1})).size(), 128u);
  EXPECT_EQ(BalancedStartRows(RandomCsr({1280})).size(), 128u);
  EXPECT_EQ(BalancedStartRows(RandomCsr({1281})).size(), 256u);
}

}  // namespace
}  // namespace sq
