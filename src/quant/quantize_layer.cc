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

// Rows as k-means takes and gives them.
struct Block {
  std::vector<float> weights, sensitivities, centroids;
  std::vector<uint8_t> indices;
  MatrixView<float> weights_view, sensitivities_view, centroids_view;
  MatrixView<uint8_t> indices_view;

  void Resize(int64_t rows, int64_t n, int64_t k) {
    weights.resize(rows * n);
    sensitivities.resize(rows * n);
    centroids.resize(rows * k);
    indices.resize(rows * n);
    weights_view = {weights.data(), rows, n};
    sensitivities_view = {sensitivities.data(), rows, n};
    centroids_view = {centroids.data(), rows, k};
    indices_view = {indices.data(), rows, n};
  }
  void Cluster(const ClusterRows& cluster_rows) {
    cluster_rows(weights_view, sensitivities_view, centroids_view, indices_view);
  }
};

void ClusterOnThisThread(MatrixView<const float> weights, MatrixView<const float> sensitivities,
                         MatrixView<float> centroids, MatrixView<uint8_t> indices) {
  Kmeans1dWorkspace workspace;
  for (int64_t r = 0; r < weights.rows; ++r) {
    Kmeans1d(weights.Row(r), sensitivities.Row(r), weights.cols, static_cast<int>(centroids.cols),
             workspace, centroids.Row(r), indices.Row(r));
  }
}

// Position of the entry nearest zero, the lower of two.
uint8_t NearestZero(const float* table, int size) {
  const auto closer = [](float a, float b) { return std::fabs(a) < std::fabs(b); };
  return static_cast<uint8_t>(std::min_element(table, table + size, closer) - table);
}

// The outliers of a row point at the entry nearest zero and are stored as what that one lacks.
void PlaceOutliers(Job& job, int64_t row, const float* table, uint8_t* index) {
  const int table_size = job.layer.TableSize();
  const uint8_t nearest_zero = NearestZero(table, table_size);
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

// Clusters the rows [first, first + count) without their outliers and packs them.
void QuantizeRows(Job& job, int64_t first, int64_t count, const ClusterRows& cluster_rows,
                  Block& block) {
  PackedLayer& layer = job.layer;
  const int64_t n = job.weights.cols, table_size = layer.TableSize();
  block.Resize(count, n, table_size);
  ParallelFor(count, [&](int64_t r) {
    const int64_t row = first + r;
    float* weights = block.weights_view.Row(r);
    std::copy_n(job.weights.Row(row), n, weights);
    for (int32_t at = job.pattern.row_ptr[row]; at < job.pattern.row_ptr[row + 1]; ++at) {
      weights[job.pattern.cols[at]] = 0;
    }
    RowSensitivity(weights, job.Fisher(row), n, block.sensitivities_view.Row(r));
  });
  block.Cluster(cluster_rows);
  const int64_t words = PackedWords(layer.bits, n, "rows");
  ParallelFor((count + kRowsPerChunk - 1) / kRowsPerChunk, [&](int64_t chunk) {
    const int64_t begin = chunk * kRowsPerChunk, end = std::min(count, begin + kRowsPerChunk);
    for (int64_t r = begin; r < end; ++r) {
      const float* table = block.centroids_view.Row(r);
      std::copy_n(table, table_size, layer.lookup_table.data() + (first + r) * table_size);
      PlaceOutliers(job, first + r, table, block.indices_view.Row(r));
      if (!job.dense.empty() && !job.HasOutliers(first + r)) {
        job.dense[first + r] = DenseRowDistortion(job, first + r, table, block.indices_view.Row(r));
      }
    }
    PackIndices(layer.bits, {block.indices_view.Row(begin), end - begin, n},
                {layer.qweight.data() + first + begin, words, end - begin, layer.out_features});
  });
}

// What the rows [first, first + count) that have outliers would lose with them left in.
void MeasureDenseRows(Job& job, int64_t first, int64_t count, const ClusterRows& cluster_rows,
                      Block& block) {
  std::vector<int64_t> rows;
  for (int64_t row = first; row < first + count; ++row) {
    if (job.HasOutliers(row)) rows.push_back(row);
  }
  if (rows.empty()) return;
  const int64_t n = job.weights.cols;
  block.Resize(static_cast<int64_t>(rows.size()), n, job.layer.TableSize());
  ParallelFor(static_cast<int64_t>(rows.size()), [&](int64_t r) {
    std::copy_n(job.weights.Row(rows[r]), n, block.weights_view.Row(r));
    RowSensitivity(job.weights.Row(rows[r]), job.Fisher(rows[r]), n,
                   block.sensitivities_view.Row(r));
  });
  block.Cluster(cluster_rows);
  ParallelFor(static_cast<int64_t>(rows.size()), [&](int64_t r) {
    job.dense[rows[r]] =
        DenseRowDistortion(job, rows[r], block.centroids_view.Row(r), block.indices_view.Row(r));
  });
}

// All rows, a chunk of them a thread, or block by block where something else clusters.
void QuantizeAllRows(Job& job, const QuantizeOptions& options) {
  const int64_t rows = job.weights.rows;
  const auto quantize = [&](int64_t first, int64_t count, const ClusterRows& cluster,
                            Block& block) {
    QuantizeRows(job, first, count, cluster, block);
    if (!job.dense.empty()) MeasureDenseRows(job, first, count, cluster, block);
  };
  if (options.cluster_rows) {
    const int64_t step = std::max<int64_t>(
        kRowsPerChunk, options.cluster_block / job.weights.cols / kRowsPerChunk * kRowsPerChunk);
    Block block;
    for (int64_t first = 0; first < rows; first += step) {
      quantize(first, std::min(step, rows - first), options.cluster_rows, block);
    }
    return;
  }
  ParallelFor((rows + kRowsPerChunk - 1) / kRowsPerChunk, [&](int64_t chunk) {
    const int64_t first = chunk * kRowsPerChunk;
    Block block;
    quantize(first, std::min(kRowsPerChunk, rows - first), ClusterOnThisThread, block);
  });
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
  QuantizeAllRows(job, options);

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
