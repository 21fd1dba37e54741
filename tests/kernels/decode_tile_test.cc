#include <gtest/gtest.h>

#include <tuple>

#include "kernels/cpu/kernels.h"
#include "tests/support/matmul_reference.h"
#include "tests/support/random_layer.h"

namespace sq {
namespace {

class DecodeTileBits : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(DecodeTile, DecodeTileBits, ::testing::Values(2, 3, 4),
                         [](const auto& info) { return std::to_string(info.param) + "bit"; });

TEST_P(DecodeTileBits, GivesTheWeightBitForBit) {
  const int64_t out = 50, in = 96;
  for (const int64_t outliers : {int64_t{0}, int64_t{1}, in}) {
    const test::RandomLayer random = test::MakeRandomLayer(GetParam(), out, in, outliers, 3);
    for (const auto& [begin, rows] :
         {std::pair<int64_t, int64_t>{0, 50}, {0, 1}, {7, 17}, {33, 16}, {49, 1}, {20, 0}}) {
      test::PoisonedMatrix tile(rows, in, 4);
      DecodeTile(random.layer, begin, tile.View());
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < in; ++i) {
          ASSERT_EQ(tile.At(r, i), random.weight[(begin + r) * in + i])
              << "row " << begin << " + " << r << ", input " << i;
        }
      }
      EXPECT_TRUE(tile.Untouched());
    }
  }
}

}  // namespace
}  // namespace sq
