#include "sq/packed/packed_layer.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "sq/base/error.h"
#include "tests/support/random_layer.h"

namespace sq {
namespace {

TEST(PackedLayerTest, DequantizesTablesAndOutliers) {
  for (const int bits : {2, 3, 4}) {
    const test::RandomLayer random = test::MakeRandomLayer(bits, 6, 64, /*outliers_per_row=*/3, 7);
    ValidatePackedLayer(random.layer, "layer");
    std::vector<float> rows(4 * 64);
    Dequantize(random.layer, 2, {rows.data(), 4, 64});
    for (int64_t i = 0; i < 4 * 64; ++i) EXPECT_EQ(rows[i], random.weight[2 * 64 + i]) << i;
  }
}

TEST(PackedLayerTest, CountsBytesOfAllParts) {
  const PackedLayer layer = test::MakeRandomLayer(4, 8, 64, 2, 1).layer;
  // 8 rows of 64 indices, 8 tables of 16 fp32, 9 row pointers, 16 outliers of 8 bytes.
  EXPECT_EQ(PackedBytes(layer), 8 * 64 / 2 + 8 * 16 * 4 + 9 * 4 + 16 * 8);
  EXPECT_DOUBLE_EQ(BitsPerWeight(layer), 8.0 * (256 + 512 + 36 + 128) / 512);
}

TEST(PackedLayerTest, ValidationNamesWhatIsWrong) {
  const auto refused = [](const std::function<void(PackedLayer&)>& damage) {
    PackedLayer layer = test::MakeRandomLayer(3, 4, 32, 2, 3).layer;
    ValidatePackedLayer(layer, "q_proj");
    damage(layer);
    try {
      ValidatePackedLayer(layer, "q_proj");
    } catch (const Error& error) {
      return std::string(error.what()).rfind("q_proj: ", 0) == 0;
    }
    return false;
  };
  EXPECT_TRUE(refused([](PackedLayer& l) { l.bits = 5; }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.bits = 4; }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.in_features = 64; }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.out_features = 0; }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.qweight.pop_back(); }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.lookup_table.push_back(0); }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.lookup_table[5] = NAN; }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.bias = {1, 2}; }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.outliers.row_ptr[0] = 1; }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.outliers.row_ptr[2] = 1; }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.outliers.row_ptr.back() = 100; }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.outliers.row_ptr.clear(); }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.outliers.cols[1] = 32; }));
  EXPECT_TRUE(refused([](PackedLayer& l) { l.outliers.cols[1] = -1; }));
  EXPECT_TRUE(
      refused([](PackedLayer& l) { l.outliers.vals[0] = std::numeric_limits<float>::infinity(); }));
}

// A slice reads the same weights, and slices one below the other are the layer again.
TEST(PackedLayerTest, RowsOfALayerAreALayer) {
  for (const int bits : {2, 3, 4}) {
    PackedLayer layer = test::MakeRandomLayer(bits, 20, 64, 3, 9).layer;
    const PackedView first = RowsOf(layer, 0, 7), second = RowsOf(layer, 7, 12);
    const PackedView inner = RowsOf(second, 2, 5);
    EXPECT_EQ(second.outliers.nonzeros, 36);
    EXPECT_EQ(second.Words().stride, 20);
    EXPECT_EQ(inner.lookup_table, layer.lookup_table.data() + (9 << bits));
    const PackedLayer joined = test::JoinRows({first, second, RowsOf(layer, 19, 1)});
    EXPECT_EQ(joined.qweight, layer.qweight);
    EXPECT_EQ(joined.lookup_table, layer.lookup_table);
    EXPECT_EQ(joined.outliers.row_ptr, layer.outliers.row_ptr);
    EXPECT_EQ(joined.outliers.cols, layer.outliers.cols);
    EXPECT_EQ(joined.outliers.vals, layer.outliers.vals);
    EXPECT_EQ(test::JoinRows({inner}).lookup_table[0], layer.lookup_table[9 << bits]);
  }
}

}  // namespace
}  // namespace sq
