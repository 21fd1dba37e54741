#include "sq/quant/quantize_layer.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "sq/base/error.h"
#include "sq/base/integer_math.h"
#include "sq/base/parallel.h"
#include "sq/base/stopwatch.h"
#include "sq/packed/bit_pack.h"
#include "sq/quant/kmeans1d.h"

namespace sq {
namespace {

// Rows per loop item. Adjacent rows share cache lines of qweight.
constexpr int64_t kRowsPerChunk = 16;

// A RowClusterer on the CPU: each loop item clusters a chunk of rows.
void ClusterOnThreads(int64_t rows, int64_t n, int64_t k, const FillRows& fill,
                      const TakeRows& take) {
  ParallelFor(CeilDivide(rows, kRowsPerChunk), [&](int64_t chunk) {
    const int64_t first = chunk * kRowsPerChunk, count = std::min(kRowsPerChunk, rows - first);
    std::vector<float> values(2 * count * n), centroids(count * k);
    std::vector<uint8_t> indices(count * n);
    const MatrixView<float> weights{values.data(), count, n};
    const MatrixView<float> sensitivities{values.data() + count * n, count, n};
    fill(first, weights, sensitivities);
    Kmeans1dWorkspace workspace;
    for (int64_t r = 0; r < count; ++r) {
      Kmeans1d(weights.Row(r), sensitivities.Row(r), n, static_cast<int>(k), &workspace,
               centroids.data() + r * k, indices.data() + r * n);
    }
    take(first, {centroids.data(), count, k}, {indices.data(), count, n});
  });
}

// What the dense distortion is estimated from. Both lists are [rows], or empty when nobody asks.
struct DenseSample {
  std::vector<int64_t> rows;     // those that are clustered once more
  std::vector<Distortion> kept;  // of rows as quantized, outliers exact: those of the sample
  std::vector<Distortion>
      dense;  // of rows without a sparse part: the sample, and rows without outliers
  std::vector<bool> sampled;
  int64_t rows_with_outliers = 0;
};

// The layer being quantized.
struct Job {
  MatrixView<const float> weights;
  FisherView fisher;
  const OutlierPattern& pattern;
  PackedLayer& layer;
  std::vector<float> outlier_values;
  DenseSample sample;

  const float* Fisher(int64_t row) const {
    return fisher.data == nullptr ? nullptr : fisher.Row(row);
  }
  bool HasOutliers(int64_t row) const { return pattern.row_ptr[row] < pattern.row_ptr[row + 1]; }
};

// Index of the table entry nearest zero, the lower of two equally near.
uint8_t NearestZero(const float* table, int size) {
  const auto closer = [](float a, float b) { return std::fabs(a) < std::fabs(b); };
  return static_cast<uint8_t>(std::min_element(table, table + size, closer) - table);
}

// A row without its outliers, as input of k-means.
void FillRow(const Job& job, int64_t row, float* weights, float* sensitivities) {
  std::copy_n(job.weights.Row(row), job.weights.cols, weights);
  for (int32_t at = job.pattern.row_ptr[row]; at < job.pattern.row_ptr[row + 1]; ++at) {
    weights[job.pattern.cols[at]] = 0;
  }
  RowSensitivity(weights, job.Fisher(row), job.weights.cols, sensitivities);
}

// Points the outliers of a row at the table entry nearest zero and stores their difference from it.
void StoreOutliers(Job* job, int64_t row, const float* table, uint8_t* index) {
  const uint8_t nearest_zero = NearestZero(table, job->layer.TableSize());
  for (int32_t at = job->pattern.row_ptr[row]; at < job->pattern.row_ptr[row + 1]; ++at) {
    const int32_t col = job->pattern.cols[at];
    index[col] = nearest_zero;
    job->outlier_values[at] = job->weights.Row(row)[col] - table[nearest_zero];
  }
}

// The distortion of a row by table and index; with `outliers_exact`, its outliers have no error.
Distortion IndexedRowDistortion(const Job& job, int64_t row, const float* table,
                                const uint8_t* index, bool outliers_exact) {
  const int64_t n = job.weights.cols;
  const float* const weights = job.weights.Row(row);
  std::vector<float> packed(n);
  for (int64_t i = 0; i < n; ++i) packed[i] = table[index[i]];
  if (outliers_exact) {
    for (int32_t at = job.pattern.row_ptr[row]; at < job.pattern.row_ptr[row + 1]; ++at) {
      packed[job.pattern.cols[at]] = weights[job.pattern.cols[at]];
    }
  }
  return RowDistortion(weights, job.Fisher(row), packed.data(), n);
}

// Chooses which rows are to be clustered once more.
void SampleRows(Job* job, int64_t count) {
  if (count == 0) return;
  DenseSample& sample = job->sample;
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < job->weights.rows; ++row) {
    if (job->HasOutliers(row)) rows.push_back(row);
  }
  const int64_t all = static_cast<int64_t>(rows.size()), taken = std::min(count, all);
  sample.rows_with_outliers = all;
  sample.kept.resize(job->weights.rows);
  sample.dense.resize(job->weights.rows);
  sample.sampled.resize(job->weights.rows);
  for (int64_t i = 0; i < taken; ++i) {
    sample.rows.push_back(rows[i * all / taken]);
    sample.sampled[sample.rows.back()] = true;
  }
}

// Clusters all rows without their outliers and packs them.
void QuantizeRows(Job* job, const RowClusterer& cluster_rows) {
  PackedLayer& layer = job->layer;
  const int64_t n = job->weights.cols, table_size = layer.TableSize();
  const int64_t words = PackedWords(layer.bits, n, "rows");
  const auto fill = [&](int64_t first, MatrixView<float> weights, MatrixView<float> sensitivities) {
    ParallelFor(weights.rows,
                [&](int64_t r) { FillRow(*job, first + r, weights.Row(r), sensitivities.Row(r)); });
  };
  const auto take_row = [&](int64_t row, const float* table, uint8_t* index) {
    std::copy_n(table, table_size, layer.lookup_table.data() + row * table_size);
    StoreOutliers(job, row, table, index);
    DenseSample& sample = job->sample;
    if (sample.sampled.empty()) return;
    if (sample.sampled[row]) {
      sample.kept[row] = IndexedRowDistortion(*job, row, table, index, /*outliers_exact=*/true);
    } else if (!job->HasOutliers(row)) {
      sample.dense[row] = IndexedRowDistortion(*job, row, table, index, false);
    }
  };
  const auto take = [&](int64_t first, MatrixView<float> centroids, MatrixView<uint8_t> indices) {
    ParallelFor(CeilDivide(indices.rows, kRowsPerChunk), [&](int64_t chunk) {
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

// Clusters the sampled rows with their outliers left in.
void ClusterSample(Job* job, const RowClusterer& cluster_rows) {
  const std::vector<int64_t>& rows = job->sample.rows;
  if (rows.empty()) return;
  const int64_t n = job->weights.cols;
  const auto fill = [&](int64_t first, MatrixView<float> weights, MatrixView<float> sensitivities) {
    ParallelFor(weights.rows, [&](int64_t r) {
      const int64_t row = rows[first + r];
      std::copy_n(job->weights.Row(row), n, weights.Row(r));
      RowSensitivity(weights.Row(r), job->Fisher(row), n, sensitivities.Row(r));
    });
  };
  const auto take = [&](int64_t first, MatrixView<float> centroids, MatrixView<uint8_t> indices) {
    ParallelFor(indices.rows, [&](int64_t r) {
      const int64_t row = rows[first + r];
      job->sample.dense[row] =
          IndexedRowDistortion(*job, row, centroids.Row(r), indices.Row(r), false);
    });
  };
  cluster_rows(static_cast<int64_t>(rows.size()), n, job->layer.TableSize(), fill, take);
}

// `total`: the distortion of the quantized layer. A ratio, since rows differ by orders of magnitude
// but gain about the same share from their outliers.
DenseDistortion EstimateDenseDistortion(const Job& job, const Distortion& total) {
  Distortion dense, kept, without_outliers;
  DenseDistortion estimate;
  for (int64_t row = 0; row < job.weights.rows; ++row) {
    Accumulate(job.sample.dense[row], &dense);
    Accumulate(job.sample.kept[row], &kept);
    if (!job.sample.sampled[row]) Accumulate(job.sample.dense[row], &without_outliers);
  }
  estimate.rows_with_outliers = job.sample.rows_with_outliers;
  estimate.rows_clustered = static_cast<int64_t>(job.sample.rows.size());
  const auto extrapolate = [&](double Distortion::*sum) {
    const double sampled = dense.*sum - without_outliers.*sum;
    if (estimate.rows_clustered == estimate.rows_with_outliers || kept.*sum == 0) return dense.*sum;
    return without_outliers.*sum + (total.*sum - without_outliers.*sum) * sampled / (kept.*sum);
  };
  estimate.weighted = extrapolate(&Distortion::weighted);
  estimate.squared_error = extrapolate(&Distortion::squared_error);
  return estimate;
}

}  // namespace

QuantizedLayer QuantizeLayer(MatrixView<const float> weights, FisherView fisher,
                             const QuantizeOptions& options, const std::string& what) {
  const Stopwatch watch;
  const int64_t rows = weights.rows, cols = weights.cols;
  const int64_t words = PackedWords(options.bits, cols, what);
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
  Job job{weights, fisher, pattern, layer, std::vector<float>(pattern.cols.size()), {}};
  SampleRows(&job, options.dense_distortion_rows);
  const RowClusterer cluster_rows =
      options.cluster_rows ? options.cluster_rows : RowClusterer(ClusterOnThreads);
  QuantizeRows(&job, cluster_rows);
  ClusterSample(&job, cluster_rows);

  QuantizeStats& stats = result.stats;
  const OutlierOptions& chosen = options.outliers;
  if (chosen.sensitive_fraction > 0 || chosen.outlier_fraction > 0 || chosen.outlier_range > 0) {
    layer.outliers = {std::move(pattern.row_ptr), std::move(pattern.cols),
                      std::move(job.outlier_values)};
  }
  stats.distortion = MeasureDistortion(weights, fisher, layer);
  if (options.dense_distortion_rows > 0) {
    stats.dense_distortion = EstimateDenseDistortion(job, stats.distortion);
  }
  stats.weights = rows * cols;
  stats.sensitive_outliers = pattern.sensitive;
  stats.magnitude_outliers = pattern.magnitude;
  stats.seconds = watch.Seconds();
  return result;
}

}  // namespace sq
