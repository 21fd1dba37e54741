#include "sq/quant/quantize_layer.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/packed/bit_pack.h"
#include "sq/quant/kmeans1d.h"
#include "tests/support/kmeans_reference.h"

namespace sq {
namespace {

struct Matrix {
  int64_t rows, cols;
  std::vector<float> weights, fisher;

  MatrixView<const float> Weights() const { return {weights.data(), rows, cols}; }
  FisherView Fisher() const { return {fisher.data(), rows, cols}; }
};

Matrix RandomMatrix(int64_t rows, int64_t cols, uint32_t seed) {
  Matrix matrix{rows, cols, {}, {}};
  for (int64_t row = 0; row < rows; ++row) {
    const test::Row made = test::StudentRow(cols, 1.5, seed + static_cast<uint32_t>(row));
    matrix.weights.insert(matrix.weights.end(), made.weights.begin(), made.weights.end());
    matrix.fisher.insert(matrix.fisher.end(), made.sensitivity.begin(), made.sensitivity.end());
  }
  return matrix;
}

QuantizeOptions Options(int bits, const OutlierOptions& outliers = {}) {
  QuantizeOptions options;
  options.bits = bits;
  options.outliers = outliers;
  return options;
}

std::vector<float> Dequantized(const PackedLayer& layer) {
  std::vector<float> weights(layer.out_features * layer.in_features);
  Dequantize(layer, 0, {weights.data(), layer.out_features, layer.in_features});
  return weights;
}

TEST(QuantizeLayer, OutliersComeBackWithinOneRounding) {
  const Matrix matrix = RandomMatrix(20, 96, 1);
  for (const int bits : {2, 3, 4}) {
    const QuantizedLayer made =
        QuantizeLayer(matrix.Weights(), matrix.Fisher(), Options(bits, {0.01, 0.02, 0}), "w");
    ValidatePackedLayer(made.layer, "w");
    const Csr& outliers = made.layer.outliers;
    EXPECT_EQ(outliers.NonZeros(), 19 + 38);
    EXPECT_EQ(made.stats.sensitive_outliers, 19);
    EXPECT_EQ(made.stats.magnitude_outliers, 38);
    EXPECT_EQ(made.stats.NonZeros(), 57);
    EXPECT_EQ(made.stats.weights, 20 * 96);
    const std::vector<float> back = Dequantized(made.layer);
    for (int64_t row = 0; row < 20; ++row) {
      const float* table = made.layer.Tables().Row(row);
      std::vector<uint8_t> index(96);
      UnpackIndices(bits, {made.layer.qweight.data() + row, 96 / 32 * bits, 1, 20},
                    {index.data(), 1, 96});
      for (int32_t at = outliers.row_ptr[row]; at < outliers.row_ptr[row + 1]; ++at) {
        const int64_t place = row * 96 + outliers.cols[at];
        const float weight = matrix.weights[place];
        // Both the difference and the sum round once, each to half a unit of the larger operand.
        EXPECT_NEAR(back[place], weight,
                    std::ldexp(std::fabs(weight) + std::fabs(outliers.vals[at]), -24));
        const float entry = table[index[outliers.cols[at]]];
        EXPECT_EQ(outliers.vals[at], weight - entry);
        for (int c = 0; c < 1 << bits; ++c) EXPECT_LE(std::fabs(entry), std::fabs(table[c]));
      }
    }
  }
}

TEST(QuantizeLayer, DistortionEqualsAPlainLoop) {
  const Matrix matrix = RandomMatrix(18, 64, 2);
  QuantizeOptions options = Options(3, {0.005, 0.01, 0});
  options.dense_distortion_rows = 100;
  const QuantizedLayer made = QuantizeLayer(matrix.Weights(), matrix.Fisher(), options, "w");
  const std::vector<float> back = Dequantized(made.layer);
  double weighted = 0, squared = 0;
  for (size_t i = 0; i < back.size(); ++i) {
    const double error = static_cast<double>(back[i]) - matrix.weights[i];
    weighted += matrix.fisher[i] * error * error;
    squared += error * error;
  }
  EXPECT_NEAR(made.stats.distortion.weighted, weighted, 1e-13 * weighted);
  EXPECT_NEAR(made.stats.distortion.squared_error, squared, 1e-13 * squared);
  ASSERT_TRUE(made.stats.dense_distortion.has_value());
  EXPECT_GT(made.stats.dense_distortion->weighted, weighted);

  const QuantizedLayer dense = QuantizeLayer(matrix.Weights(), matrix.Fisher(), Options(3), "w");
  EXPECT_EQ(dense.stats.distortion.weighted, made.stats.dense_distortion->weighted);
  EXPECT_EQ(dense.stats.distortion.squared_error, made.stats.dense_distortion->squared_error);
  EXPECT_FALSE(dense.stats.dense_distortion.has_value());
  EXPECT_TRUE(dense.layer.outliers.row_ptr.empty());
}

TEST(QuantizeLayer, DenseDistortionIsEstimatedFromSomeRows) {
  constexpr int64_t kRows = 200;
  Matrix matrix = RandomMatrix(kRows, 128, 7);
  // Rows differ by orders of magnitude; every seventh has no outlier.
  for (int64_t row = 0; row < kRows; ++row) {
    const float scale = std::ldexp(1.0f, static_cast<int>(row % 11) - 5);
    for (int64_t i = 0; i < 128; ++i) matrix.fisher[row * 128 + i] *= scale;
    if (row % 7 != 0) matrix.weights[row * 128 + row % 128] = row % 2 == 0 ? 9.0f : -9.0f;
  }
  QuantizeOptions options = Options(3, {0, static_cast<double>(kRows - 29) / (kRows * 128), 0});
  options.dense_distortion_rows = kRows;
  const QuantizedLayer exact = QuantizeLayer(matrix.Weights(), matrix.Fisher(), options, "w");
  const QuantizedLayer dense = QuantizeLayer(matrix.Weights(), matrix.Fisher(), Options(3), "w");
  EXPECT_EQ(exact.stats.dense_distortion->weighted, dense.stats.distortion.weighted);
  EXPECT_EQ(exact.stats.dense_distortion->rows_with_outliers, kRows - 29);
  EXPECT_EQ(exact.stats.dense_distortion->rows_clustered, kRows - 29);

  options.dense_distortion_rows = 40;
  const QuantizedLayer made = QuantizeLayer(matrix.Weights(), matrix.Fisher(), options, "w");
  const DenseDistortion& estimate = *made.stats.dense_distortion;
  EXPECT_EQ(estimate.rows_clustered, 40);
  EXPECT_EQ(estimate.rows_with_outliers, kRows - 29);
  EXPECT_NE(estimate.weighted, dense.stats.distortion.weighted);
  EXPECT_NEAR(estimate.weighted, dense.stats.distortion.weighted,
              0.1 * dense.stats.distortion.weighted);
  EXPECT_NEAR(estimate.squared_error, dense.stats.distortion.squared_error,
              0.1 * dense.stats.distortion.squared_error);
  EXPECT_EQ(made.layer.qweight, exact.layer.qweight);
}

TEST(QuantizeLayer, NoWorseThanLloyd) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const Matrix matrix = RandomMatrix(1, 256, 100 + seed);
    const QuantizedLayer made = QuantizeLayer(matrix.Weights(), matrix.Fisher(), Options(4), "w");
    const double lloyd = test::LloydDistortion({matrix.weights, matrix.fisher}, 16, 50);
    EXPECT_LE(made.stats.distortion.weighted, lloyd * (1 + 1e-9)) << "seed " << seed;
  }
}

TEST(QuantizeLayer, SameBytesForAnyThreadCount) {
  const Matrix matrix = RandomMatrix(70, 128, 3);
  QuantizeOptions options = Options(4, {0.0005, 0.004, 0});
  options.dense_distortion_rows = 100;
  std::vector<QuantizedLayer> made;
  for (const int threads : {1, 2, 7}) {
    SetThreadCount(threads);
    made.push_back(QuantizeLayer(matrix.Weights(), matrix.Fisher(), options, "w"));
  }
  SetThreadCount(0);
  for (size_t i = 1; i < made.size(); ++i) {
    EXPECT_EQ(made[i].layer.qweight, made[0].layer.qweight);
    EXPECT_EQ(made[i].layer.lookup_table, made[0].layer.lookup_table);
    EXPECT_EQ(made[i].layer.outliers.row_ptr, made[0].layer.outliers.row_ptr);
    EXPECT_EQ(made[i].layer.outliers.cols, made[0].layer.outliers.cols);
    EXPECT_EQ(made[i].layer.outliers.vals, made[0].layer.outliers.vals);
    EXPECT_EQ(made[i].stats.distortion.weighted, made[0].stats.distortion.weighted);
    EXPECT_EQ(made[i].stats.dense_distortion->weighted, made[0].stats.dense_distortion->weighted);
  }
}

TEST(QuantizeLayer, AnotherClustererGetsRowsInItsBatches) {
  const Matrix matrix = RandomMatrix(70, 128, 3);
  QuantizeOptions options = Options(3, {0.0005, 0.004, 0});
  options.dense_distortion_rows = 100;
  const QuantizedLayer expected = QuantizeLayer(matrix.Weights(), matrix.Fisher(), options, "w");
  std::vector<int64_t> calls;
  // The last batch first, in memory whose rows are longer than they need be.
  options.cluster_rows = [&](int64_t rows, int64_t n, int64_t k, const FillRows& fill,
                             const TakeRows& take) {
    calls.push_back(rows);
    constexpr int64_t kBatch = 23, kSpare = 5;
    for (int64_t first = (rows - 1) / kBatch * kBatch; first >= 0; first -= kBatch) {
      const int64_t count = std::min(kBatch, rows - first), stride = n + kSpare;
      std::vector<float> weights(count * stride, NAN), sensitivities = weights;
      std::vector<float> centroids(count * stride, NAN);
      std::vector<uint8_t> indices(count * stride, 255);
      fill(first, {weights.data(), count, n, stride}, {sensitivities.data(), count, n, stride});
      Kmeans1dWorkspace workspace;
      for (int64_t r = 0; r < count; ++r) {
        Kmeans1d(weights.data() + r * stride, sensitivities.data() + r * stride, n,
                 static_cast<int>(k), &workspace, centroids.data() + r * stride,
                 indices.data() + r * stride);
      }
      take(first, {centroids.data(), count, k, stride}, {indices.data(), count, n, stride});
    }
  };
  const QuantizedLayer made = QuantizeLayer(matrix.Weights(), matrix.Fisher(), options, "w");
  EXPECT_EQ(made.layer.qweight, expected.layer.qweight);
  EXPECT_EQ(made.layer.lookup_table, expected.layer.lookup_table);
  EXPECT_EQ(made.layer.outliers.vals, expected.layer.outliers.vals);
  EXPECT_EQ(made.stats.distortion.weighted, expected.stats.distortion.weighted);
  EXPECT_EQ(made.stats.dense_distortion->weighted, expected.stats.dense_distortion->weighted);
  ASSERT_EQ(calls.size(), 2u);  // all rows, then those that have outliers
  EXPECT_EQ(calls[0], 70);
  EXPECT_LT(calls[1], 70);
}

TEST(QuantizeLayer, RowsWithFewValuesAreExact) {
  Matrix matrix{3, 32, std::vector<float>(96), std::vector<float>(96, 1.0f)};
  for (int i = 0; i < 32; ++i) {
    matrix.weights[i] = 0.25f;                               // all equal
    matrix.weights[32 + i] = 0;                              // all zero
    matrix.weights[64 + i] = static_cast<float>(1 + i % 4);  // as many values as table entries
  }
  const QuantizedLayer made = QuantizeLayer(matrix.Weights(), matrix.Fisher(), Options(2), "w");
  ValidatePackedLayer(made.layer, "w");
  EXPECT_EQ(Dequantized(made.layer), matrix.weights);
  EXPECT_EQ(made.stats.distortion.weighted, 0);
  EXPECT_EQ(made.stats.distortion.largest, 0);
}

TEST(QuantizeLayer, EveryWeightAnOutlier) {
  const Matrix matrix = RandomMatrix(2, 32, 4);
  const QuantizedLayer made =
      QuantizeLayer(matrix.Weights(), matrix.Fisher(), Options(3, {0, 1, 0}), "w");
  ValidatePackedLayer(made.layer, "w");
  EXPECT_EQ(Dequantized(made.layer), matrix.weights);  // all tables are 0
}

TEST(QuantizeLayer, WithoutFisherItIsPlainKmeans) {
  const Matrix matrix = RandomMatrix(4, 64, 5);
  Matrix ones = matrix;
  ones.fisher.assign(ones.fisher.size(), 1.0f);
  const QuantizedLayer plain = QuantizeLayer(matrix.Weights(), {}, Options(3, {0, 0.01, 0}), "w");
  const QuantizedLayer same =
      QuantizeLayer(ones.Weights(), ones.Fisher(), Options(3, {0, 0.01, 0}), "w");
  EXPECT_EQ(plain.layer.lookup_table, same.layer.lookup_table);
  EXPECT_EQ(plain.layer.qweight, same.layer.qweight);
  EXPECT_EQ(plain.stats.distortion.weighted, same.stats.distortion.weighted);
}

TEST(QuantizeLayer, ErrorsNameTheTensor) {
  Matrix matrix = RandomMatrix(2, 64, 6);
  const auto refused = [&](const QuantizeOptions& options, const std::string& part) {
    try {
      QuantizeLayer(matrix.Weights(), matrix.Fisher(), options, "model.layers.0.q_proj");
    } catch (const Error& error) {
      return std::string(error.what()).rfind("model.layers.0.q_proj: ", 0) == 0 &&
             std::string(error.what()).find(part) != std::string::npos;
    }
    return false;
  };
  EXPECT_TRUE(refused(Options(5), "bits"));
  EXPECT_TRUE(refused(Options(4, {2, 0, 0}), "fraction"));
  matrix.fisher[70] = NAN;
  EXPECT_TRUE(refused(Options(4), "row 1, column 6"));
  matrix.fisher[70] = 1;
  matrix.weights[3] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(refused(Options(4), "row 0, column 3"));
  matrix.weights[3] = 0;
  matrix.cols = 48;
  EXPECT_TRUE(refused(Options(4), "multiple of 32"));
}

}  // namespace
}  // namespace sq
