#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "sq/kernels/cuda_kmeans.h"
#include "sq/quant/kmeans1d.h"
#include "sq/quant/quantize_layer.h"
#include "tests/support/cuda_memory.h"
#include "tests/support/error_message.h"
#include "tests/support/kmeans_reference.h"

namespace sq {
namespace {

using test::MessageOf;
using test::Row;

struct Result {
  std::vector<float> centroids;
  std::vector<uint8_t> indices;
};

// Rows of one length, one below the other.
struct Matrix {
  int64_t rows = 0, n = 0;
  std::vector<float> weights, sensitivities;

  void Add(const Row& row) {
    ASSERT_TRUE(rows == 0 || n == row.Size());
    ++rows;
    n = row.Size();
    weights.insert(weights.end(), row.weights.begin(), row.weights.end());
    sensitivities.insert(sensitivities.end(), row.sensitivity.begin(), row.sensitivity.end());
  }
  MatrixView<const float> Weights() const { return {weights.data(), rows, n}; }
  MatrixView<const float> Sensitivities() const { return {sensitivities.data(), rows, n}; }
};

Result OnTheDevice(CudaKmeans& kmeans, const Matrix& matrix, int k) {
  Result result{std::vector<float>(static_cast<size_t>(matrix.rows * k), NAN),
                std::vector<uint8_t>(matrix.weights.size(), 255)};
  kmeans.Cluster(matrix.Weights(), matrix.Sensitivities(),
                 {result.centroids.data(), matrix.rows, k},
                 {result.indices.data(), matrix.rows, matrix.n});
  return result;
}

// To the bit: -0 is not 0. Adds what the CPU did to `stats`.
void ExpectCpusBytes(CudaKmeans& kmeans, const Matrix& matrix, int k, const std::string& what,
                     SegmentationStats* stats = nullptr) {
  const Result found = OnTheDevice(kmeans, matrix, k);
  Kmeans1dWorkspace workspace;
  std::vector<float> centroids(k);
  std::vector<uint8_t> indices(matrix.n);
  for (int64_t r = 0; r < matrix.rows; ++r) {
    Kmeans1d(matrix.Weights().Row(r), matrix.Sensitivities().Row(r), matrix.n, k, &workspace,
             centroids.data(), indices.data());
    for (int c = 0; c < k; ++c) {
      const float own = found.centroids[r * k + c];
      ASSERT_TRUE(own == centroids[c] && std::signbit(own) == std::signbit(centroids[c]))
          << what << ", n = " << matrix.n << ", k = " << k << ": row " << r << ", centroid " << c
          << " is " << own << " instead of " << centroids[c];
    }
    for (int64_t i = 0; i < matrix.n; ++i) {
      ASSERT_EQ(found.indices[r * matrix.n + i], indices[i])
          << what << ", n = " << matrix.n << ", k = " << k << ": row " << r << ", weight " << i;
    }
  }
  if (stats != nullptr) {
    stats->passes += workspace.stats.passes;
    stats->splices += workspace.stats.splices;
  }
}

// Threads take turns in another order from seed to seed.
class CudaKmeansTest : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { test::SetScheduleSeed(static_cast<uint64_t>(GetParam())); }
  void TearDown() override { test::SetScheduleSeed(0); }
  CudaKmeans kmeans_;
};
INSTANTIATE_TEST_SUITE_P(CudaKmeans, CudaKmeansTest, ::testing::Values(0, 1, 2),
                         [](const auto& info) { return "Seed" + std::to_string(info.param); });

Row Scaled(Row row, float weight, float sensitivity) {
  for (float& w : row.weights) w *= weight;
  for (float& s : row.sensitivity) s *= sensitivity;
  return row;
}

TEST_P(CudaKmeansTest, GivesTheCpusBytesForRandomRows) {
  const uint32_t seed = 100 * static_cast<uint32_t>(GetParam());
  for (const int64_t n : {1, 2, 3, 31, 32, 33, 257, 600}) {
    Matrix matrix;
    for (const double sigma : {0.0, 1.0, 3.0}) {
      matrix.Add(test::StudentRow(n, sigma, seed + static_cast<uint32_t>(n)));
    }
    for (const int k : {1, 2, 4, 8, 16}) {
      if (n < 600 || k == 8) ExpectCpusBytes(kmeans_, matrix, k, "random rows");
    }
  }
}

TEST_P(CudaKmeansTest, GivesTheCpusBytesForLongRows) {
  const uint32_t seed = 10 + static_cast<uint32_t>(GetParam());
  Matrix medium, long_row;
  medium.Add(test::StudentRow(1000, 1, seed));
  medium.Add(test::StudentRow(1000, 3, seed));
  ExpectCpusBytes(kmeans_, medium, 16, "1000 weights");
  long_row.Add(test::StudentRow(4096, 3, seed));
  ExpectCpusBytes(kmeans_, long_row, GetParam() == 0 ? 16 : 8, "4096 weights");
}

// Longer than the piece that is sorted in shared memory. fp16 weights of so small a scale that few
// are different, so that the rest is quick.
TEST(CudaKmeans, SortsRowsLongerThanSharedMemory) {
  CudaKmeans kmeans;
  for (const int64_t n : {8192, 8193, 17000}) {
    Matrix matrix;
    std::mt19937 random(static_cast<uint32_t>(n));
    Row row;
    for (int64_t i = 0; i < n; ++i) {
      row.weights.push_back(static_cast<float>(static_cast<int>(random() % 300) - 150) / 64);
      row.sensitivity.push_back(random() % 7 == 0 ? 0 : static_cast<float>(random() % 1000) / 7);
    }
    matrix.Add(row);
    ExpectCpusBytes(kmeans, matrix, 8, "a long row");
  }
}

TEST_P(CudaKmeansTest, GivesTheCpusBytesForTies) {
  std::mt19937 random(static_cast<uint32_t>(GetParam()));
  for (const int64_t n : {3, 6, 12, 40}) {
    Matrix matrix;
    for (int trial = 0; trial < 12; ++trial) {
      Row row;
      for (int64_t i = 0; i < n; ++i) {
        row.weights.push_back(static_cast<float>(static_cast<int>(random() % 21) - 10));
        row.sensitivity.push_back(static_cast<float>(random() % 3));
      }
      matrix.Add(row);
    }
    for (const int k : {2, 3, 4, 5, 7, 8, 11, 16}) ExpectCpusBytes(kmeans_, matrix, k, "ties");
  }
}

// Symmetric and equally spaced rows of equal sensitivities: many splits are equally good, and no
// fee gives k, so that two answers are spliced.
TEST_P(CudaKmeansTest, GivesTheCpusBytesForSymmetricRows) {
  SegmentationStats stats;
  for (const int64_t n : {10, 100, 272}) {
    Matrix matrix;
    Row even{{}, std::vector<float>(static_cast<size_t>(n), 1)}, heaps = even, halves = even;
    for (int64_t i = 0; i < n; ++i) {
      even.weights.push_back(static_cast<float>(2 * i + 1 - n));
      heaps.weights.push_back(static_cast<float>(100 * (i % 20 - 10) + i / 20 % 3));
      halves.weights.push_back(static_cast<float>(i < n / 2 ? i * i : -(n - 1 - i) * (n - 1 - i)));
    }
    matrix.Add(even);
    matrix.Add(heaps);
    matrix.Add(halves);
    for (const int k : {3, 4, 8, 16}) {
      ExpectCpusBytes(kmeans_, matrix, k, "symmetric rows", &stats);
    }
  }
  EXPECT_GT(stats.splices, 0);
}

TEST_P(CudaKmeansTest, GivesTheCpusBytesAtTheEdges) {
  constexpr int64_t kN = 150;
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float huge = std::numeric_limits<float>::max();
  const Row base = test::StudentRow(kN, 1, 9);
  Row half_zero = base, all_zero = base, one_left = base, heavy = base, light_ends = base;
  Row last_zero = base, zeros = base, tiny_and_huge = base, light_and_far = base;
  light_and_far.weights[20] = 1e20f;  // too light for a point of its own
  light_and_far.sensitivity[20] = 1e-26f;
  for (size_t i = 0; i < kN; ++i) {
    if (i % 2 == 0) half_zero.sensitivity[i] = 0;
    all_zero.sensitivity[i] = 0;
    one_left.sensitivity[i] = i == 70 ? 2 : 0;
    heavy.sensitivity[i] = i % 10 == 0 ? 1e12f : 1e-6f;
    light_ends.sensitivity[i] = std::fabs(base.weights[i]) > 0.02f ? 1e-20f : 1;
    last_zero.sensitivity[i] = i > 100 ? 0 : 1;
    if (i % 3 == 0) zeros.weights[i] = i % 2 == 0 ? -0.0f : 0.0f;
    tiny_and_huge.weights[i] = (i % 2 == 0 ? 1.0f : -1.0f) * (i % 5 == 0 ? huge : tiny);
  }
  Matrix matrix;
  matrix.Add(half_zero);
  matrix.Add(all_zero);
  matrix.Add(one_left);
  matrix.Add(heavy);
  matrix.Add(light_ends);
  matrix.Add(last_zero);
  matrix.Add(zeros);
  matrix.Add(tiny_and_huge);
  matrix.Add(light_and_far);
  matrix.Add({std::vector<float>(kN, -0.1f), std::vector<float>(kN, 0.3f)});
  matrix.Add({std::vector<float>(kN, 0.0f), std::vector<float>(kN, 0.0f)});
  matrix.Add(Scaled(base, 1e4f, 1e-20f));
  matrix.Add(Scaled(base, 1e-6f, 1e25f));
  matrix.Add(Scaled(base, 1, 1e-36f));
  matrix.Add(Scaled(base, 1e-36f, 1));
  matrix.Add(Scaled(base, 1e-36f, 1e-36f));
  for (const int k : {4, 16}) ExpectCpusBytes(kmeans_, matrix, k, "edges");
}

// More rows than one batch and both sets of buffers hold, the last batch not full.
TEST(CudaKmeans, RowsOfManyBatchesKeepTheirPlaces) {
  CudaKmeans kmeans(64);
  Matrix matrix;
  matrix.rows = 32 * 5 + 7;
  matrix.n = 2;
  std::mt19937 random(5);
  for (int64_t i = 0; i < matrix.rows * matrix.n; ++i) {
    matrix.weights.push_back(static_cast<float>(random() % 1000));
    matrix.sensitivities.push_back(1);
  }
  const Result found = OnTheDevice(kmeans, matrix, 1);
  for (int64_t r = 0; r < matrix.rows; ++r) {
    ASSERT_EQ(found.centroids[r], (matrix.weights[2 * r] + matrix.weights[2 * r + 1]) / 2) << r;
  }
  EXPECT_EQ(found.indices, std::vector<uint8_t>(matrix.weights.size(), 0));
}

TEST(CudaKmeans, TakesViewsOfLargerMatrices) {
  CudaKmeans kmeans;
  const Row row = test::StudentRow(160, 1, 3);
  Matrix parts;
  parts.Add({{row.weights.begin(), row.weights.begin() + 30},
             {row.sensitivity.begin(), row.sensitivity.begin() + 30}});
  parts.Add({{row.weights.begin() + 80, row.weights.begin() + 110},
             {row.sensitivity.begin() + 80, row.sensitivity.begin() + 110}});
  const Result expected = OnTheDevice(kmeans, parts, 4);
  std::vector<float> centroids(2 * 7, -1);
  std::vector<uint8_t> indices(2 * 50, 99);
  kmeans.Cluster({row.weights.data(), 2, 30, 80}, {row.sensitivity.data(), 2, 30, 80},
                 {centroids.data(), 2, 4, 7}, {indices.data(), 2, 30, 50});
  for (int64_t r = 0; r < 2; ++r) {
    for (int64_t c = 0; c < 7; ++c) {
      EXPECT_EQ(centroids[r * 7 + c], c < 4 ? expected.centroids[r * 4 + c] : -1);
    }
    for (int64_t i = 0; i < 50; ++i) {
      EXPECT_EQ(indices[r * 50 + i], i < 30 ? expected.indices[r * 30 + i] : 99);
    }
  }
}

TEST(CudaKmeans, QuantizesLayersToTheCpusBytes) {
  Matrix matrix;
  for (uint32_t r = 0; r < 24; ++r) matrix.Add(test::StudentRow(64, 2, r));
  for (size_t i = 64 * 10; i < 64 * 11; ++i) matrix.sensitivities[i] = 0;
  const RowClusterer on_device = CudaRowClusterer();
  for (const int bits : {3, 4}) {
    for (const bool data : {true, false}) {
      if (bits == 4 && !data) continue;
      QuantizeOptions options;
      options.bits = bits;
      options.outliers = {0.001, 0.004, 0};
      options.dense_distortion_rows = 24;
      const FisherView fisher = data ? matrix.Sensitivities() : FisherView();
      const QuantizedLayer expected = QuantizeLayer(matrix.Weights(), fisher, options, "w");
      options.cluster_rows = on_device;
      const QuantizedLayer found = QuantizeLayer(matrix.Weights(), fisher, options, "w");
      EXPECT_EQ(found.layer.qweight, expected.layer.qweight);
      EXPECT_EQ(found.layer.lookup_table, expected.layer.lookup_table);
      EXPECT_EQ(found.layer.outliers.row_ptr, expected.layer.outliers.row_ptr);
      EXPECT_EQ(found.layer.outliers.cols, expected.layer.outliers.cols);
      EXPECT_EQ(found.layer.outliers.vals, expected.layer.outliers.vals);
      EXPECT_EQ(found.stats.dense_distortion->weighted, expected.stats.dense_distortion->weighted);
    }
  }
}

TEST(CudaKmeans, ServesOnAfterAnError) {
  CudaKmeans kmeans(64);
  const auto fill = [](int64_t first, MatrixView<float> weights, MatrixView<float> sensitivities) {
    if (first == 16) throw Error("no more rows");
    for (int64_t r = 0; r < weights.rows; ++r) {
      std::fill_n(weights.Row(r), weights.cols, static_cast<float>(first + r));
      std::fill_n(sensitivities.Row(r), weights.cols, 1.0f);
    }
  };
  std::vector<float> found;
  const auto take = [&](int64_t first, MatrixView<float> centroids, MatrixView<uint8_t>) {
    EXPECT_EQ(first, static_cast<int64_t>(found.size()));
    for (int64_t r = 0; r < centroids.rows; ++r) found.push_back(centroids.Row(r)[0]);
  };
  EXPECT_EQ(MessageOf([&] { kmeans.Cluster(40, 8, 2, fill, take); }), "no more rows");
  EXPECT_EQ(found.size(), 8u);  // of two batches of 8, the second was still on its way
  found.clear();
  kmeans.Cluster(12, 8, 2, fill, take);
  ASSERT_EQ(found.size(), 12u);
  for (int r = 0; r < 12; ++r) EXPECT_EQ(found[r], r);
}

TEST(CudaKmeans, RefusesSizesThatDoNotAgree) {
  CudaKmeans kmeans;
  std::vector<float> values(64), centroids(34);
  std::vector<uint8_t> indices(64);
  const auto cluster = [&](int64_t sensitivity_cols, int64_t k, int64_t index_rows) {
    return MessageOf([&] {
      kmeans.Cluster({values.data(), 2, 32}, {values.data(), 2, sensitivity_cols},
                     {centroids.data(), 2, k}, {indices.data(), index_rows, 32});
    });
  };
  EXPECT_NE(cluster(31, 4, 2).find("[2, 32]: sensitivities are [2, 31]"), std::string::npos);
  EXPECT_NE(cluster(32, 4, 1).find("indices [1, 32]"), std::string::npos);
  EXPECT_NE(cluster(32, 17, 2).find("1 to 16 clusters, found 17"), std::string::npos);
  EXPECT_NE(cluster(32, 0, 2).find("1 to 16 clusters, found 0"), std::string::npos);
}

}  // namespace
}  // namespace sq
