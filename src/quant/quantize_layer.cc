#include "sq/quant/quantize_layer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>
#include <vector>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/packed/bit_pack.h"
#include "sq/quant/kmeans1d.h"

namespace sq {
namespace {

// Rows that one thread takes at a time: they share the cache lines of qweight.
constexpr int64_t kRowsPerChunk = 16;

// A RowClusterer: a chunk of rows a thread.
void ClusterOnThreads(int64_t rows, int64_t n, int64_t k, const FillRows& fill,
                      const TakeRows& take) {
  ParallelFor((rows + kRowsPerChunk - 1) / kRowsPerChunk, [&](int64_t chunk) {
    const int64_t first = chunk * kRowsPerChunk, count = std::min(kRowsPerChunk, rows - first);
    std::vector<float> values(2 * count * n), centroids(count * k);
    std::vector<uint8_t> indices(count * n);
    const MatrixView<float> weights{values.data(), count, n};
    const MatrixView<float> sensitivities{values.data() + count * n, count, n};
    fill(first, weights, sensitivities);
    Kmeans1dWorkspace workspace;
    for (int64_t r = 0; r < count; ++r) {
      Kmeans1d(weights.Row(r), sensitivities.Row(r), n, static_cast<int>(k), workspace,
               centroids.data() + r * k, indices.data() + r * n);
    }
    take(first, {centroids.data(), count, k}, {indices.data(), count, n});
  });
}

// One layer on its way.
struct Job {
  MatrixView<const float> weights;
  FisherView fisher;
  const OutlierPattern& pattern;
  PackedLayer& layer;
  std::vector<float> outlier_values;
  std::vector<Distortion> dense;  // [rows] if it is asked for

  const float* Fisher(int64_t row) const {
    return fisher.data == nullptr ? nullptr : fisher.Row(row);
  }
  bool HasOutliers(int64_t row) const { return pattern.row_ptr[row] < pattern.row_ptr[row + 1]; }
};

// Position of the entry nearest zero, the lower of two.
uint8_t NearestZero(const float* table, int size) {
  const auto closer = [](float a, float b) { return std::fabs(a) < std::fabs(b); };
  return static_cast<uint8_t>(std::min_element(table, table + size, closer) - table);
}

// A row without its outliers, as k-means takes it.
void FillRow(const Job& job, int64_t row, float* weights, float* sensitivities) {
  std::copy_n(job.weights.Row(row), job.weights.cols, weights);
  for (int32_t at = job.pattern.row_ptr[row]; at < job.pattern.row_ptr[row + 1]; ++at) {
    weights[job.pattern.cols[at]] = 0;
  }
  RowSensitivity(weights, job.Fisher(row), job.weights.cols, sensitivities);
}

// The outliers of a row point at the entry nearest zero and are stored as what that one lacks.
void PlaceOutliers(Job& job, int64_t row, const float* table, uint8_t* index) {
  const uint8_t nearest_zero = NearestZero(table, job.layer.TableSize());
  for (int32_t at = job.pattern.row_ptr[row]; at < job.pattern.row_ptr[row + 1]; ++at) {
    const int32_t col = job.pattern.cols[at];
    index[col] = nearest_zero;
    job.outlier_values[at] = job.weights.Row(row)[col] - table[nearest_zero];
  }
}

// What table and index get wrong of a row as it is.
Distortion DenseRowDistortion(const Job& job, int64_t row, const float* table,
                              const uint8_t* index) {
  const int64_t n = job.weights.cols;
  std::vector<float> packed(n);
  for (int64_t i = 0; i < n; ++i) packed[i] = table[index[i]];
  return RowDistortion(job.weights.Row(row), job.Fisher(row), packed.data(), n);
}

// Clusters all rows without their outliers and packs them.
void QuantizeRows(Job& job, const RowClusterer& cluster_rows) {
  PackedLayer& layer = job.layer;
  const int64_t n = job.weights.cols, table_size = layer.TableSize();
  const int64_t words = PackedWords(layer.bits, n, "rows");
  const auto fill = [&](int64_t first, MatrixView<float> weights, MatrixView<float> sensitivities) {
    ParallelFor(weights.rows,
                [&](int64_t r) { FillRow(job, first + r, weights.Row(r), sensitivities.Row(r)); });
  };
  const auto take_row = [&](int64_t row, const float* table, uint8_t* index) {
    std::copy_n(table, table_size, layer.lookup_table.data() + row * table_size);
    PlaceOutliers(job, row, table, index);
    if (!job.dense.empty() && !job.HasOutliers(row)) {
      job.dense[row] = DenseRowDistortion(job, row, table, index);
    }
  };
  const auto take = [&](int64_t first, MatrixView<float> centroids, MatrixView<uint8_t> indices) {
    ParallelFor((indices.rows + kRowsPerChunk - 1) / kRowsPerChunk, [&](int64_t chunk) {
      const int64_t begin = chunk * kRowsPerChunk;
      const int64_t count = std::min(kRowsPerChunk, indices.rows - begin);
      for (int64_t r = begin; r < begin + count; ++r) {
        take_row(first + r, centroids.Row(r), indices.Row(r));
      }
      PackIndices(layer.bits, {indices.Row(begin), count, n, indices.stride},
                  {layer.qweight.data() + first + begin, words, count, layer.out_features});
    });
  };
  cluster_rows(layer.out_features, n, table_size, fill, take);
}

// What the rows that have outliers would lose with them left in.
void MeasureDenseRows(Job& job, const RowClusterer& cluster_rows) {
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < job.weights.rows; ++row) {
    if (job.HasOutliers(row)) rows.push_back(row);
  }
  if (rows.empty()) return;
  const int64_t n = job.weights.cols;
  const auto fill = [&](int64_t first, MatrixView<float> weights, MatrixView<float> sensitivities) {
    ParallelFor(weights.rows, [&](int64_t r) {
      const int64_t row = rows[first + r];
      std::copy_n(job.weights.Row(row), n, weights.Row(r));
      RowSensitivity(weights.Row(r), job.Fisher(row), n, sensitivities.Row(r));
    });
  };
  const auto take = [&](int64_t first, MatrixView<float> centroids, MatrixView<uint8_t> indices) {
    ParallelFor(indices.rows, [&](int64_t r) {
      const int64_t row = rows[first + r];
      job.dense[row] = DenseRowDistortion(job, row, centroids.Row(r), indices.Row(r));
    });
  };
  cluster_rows(static_cast<int64_t>(rows.size()), n, job.layer.TableSize(), fill, take);
}

}  // namespace

QuantizedLayer QuantizeLayer(MatrixView<const float> weights, FisherView fisher,
                             const QuantizeOptions& options, const std::string& what) {
  const auto start = std::chrono::steady_clock::now();
  const int64_t rows = weights.rows, cols = weights.cols;
  const int64_t words = PackedWords(options.bits, cols, what.c_str());
  SQ_CHECK(rows > 0, what, ": no output features");
  ValidateSensitivity(weights, fisher, what);

  OutlierPattern pattern = ChooseOutliers(weights, fisher, options.outliers, what);
  QuantizedLayer result;
  PackedLayer& layer = result.layer;
  layer.bits = options.bits;
  layer.out_features = rows;
  layer.in_features = cols;
  layer.qweight.resize(words * rows);
  layer.lookup_table.resize(rows * layer.TableSize());
  Job job{weights,
          fisher,
          pattern,
          layer,
          std::vector<float>(pattern.cols.size()),
          std::vector<Distortion>(options.report_dense_distortion ? rows : 0)};
  const RowClusterer cluster_rows =
      options.cluster_rows ? options.cluster_rows : RowClusterer(ClusterOnThreads);
  QuantizeRows(job, cluster_rows);
  if (options.report_dense_distortion) MeasureDenseRows(job, cluster_rows);

  QuantizeStats& stats = result.stats;
  const OutlierOptions& chosen = options.outliers;
  if (chosen.sensitive_fraction > 0 || chosen.outlier_fraction > 0 || chosen.outlier_range > 0) {
    layer.outliers = {std::move(pattern.row_ptr), std::move(pattern.cols),
                      std::move(job.outlier_values)};
  }
  stats.distortion = MeasureDistortion(weights, fisher, layer);
  if (options.report_dense_distortion) {
    stats.dense_distortion.emplace();
    for (const Distortion& row : job.dense) Accumulate(row, *stats.dense_distortion);
  }
  stats.weights = rows * cols;
  stats.sensitive_outliers = pattern.sensitive;
  stats.magnitude_outliers = pattern.magnitude;
  stats.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace sq
