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

// Rows that one thread takes at a time: they share the cache lines of qweight and the buffers.
constexpr int64_t kRowsPerChunk = 16;

struct RowBuffers {
  std::vector<float> weights, sensitivity, packed;
  Kmeans1dWorkspace kmeans;
};

// Position of the entry nearest zero, the lower of two.
uint8_t NearestZero(const float* table, int size) {
  const auto closer = [](float a, float b) { return std::fabs(a) < std::fabs(b); };
  return static_cast<uint8_t>(std::min_element(table, table + size, closer) - table);
}

// Clusters one row (weights already without outliers) into table and index.
void ClusterRow(const float* weights, const float* fisher, int64_t n, int table_size,
                RowBuffers& buffers, float* table, uint8_t* index) {
  RowSensitivity(weights, fisher, n, buffers.sensitivity.data());
  Kmeans1d(weights, buffers.sensitivity.data(), n, table_size, buffers.kmeans, table, index);
}

// What quantizing a row as it is, without outliers, gets wrong.
Distortion DenseRowDistortion(const float* weights, const float* fisher, int64_t n, int table_size,
                              RowBuffers& buffers) {
  float table[1 << kMaxBits];
  std::vector<uint8_t> index(n);
  ClusterRow(weights, fisher, n, table_size, buffers, table, index.data());
  for (int64_t i = 0; i < n; ++i) buffers.packed[i] = table[index[i]];
  return RowDistortion(weights, fisher, buffers.packed.data(), n);
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
  const int table_size = layer.TableSize();
  layer.lookup_table.resize(rows * table_size);
  std::vector<float> outlier_values(pattern.cols.size());
  std::vector<Distortion> dense(options.report_dense_distortion ? rows : 0);

  ParallelFor((rows + kRowsPerChunk - 1) / kRowsPerChunk, [&](int64_t chunk) {
    const int64_t first = chunk * kRowsPerChunk, count = std::min(kRowsPerChunk, rows - first);
    RowBuffers buffers;
    buffers.weights.resize(cols);
    buffers.sensitivity.resize(cols);
    buffers.packed.resize(cols);
    std::vector<uint8_t> indices(count * cols);
    for (int64_t row = first; row < first + count; ++row) {
      const float* weight = weights.Row(row);
      const float* row_fisher = fisher.data == nullptr ? nullptr : fisher.Row(row);
      float* table = layer.lookup_table.data() + row * table_size;
      uint8_t* index = indices.data() + (row - first) * cols;
      const int32_t begin = pattern.row_ptr[row], end = pattern.row_ptr[row + 1];
      std::copy_n(weight, cols, buffers.weights.data());
      for (int32_t at = begin; at < end; ++at) buffers.weights[pattern.cols[at]] = 0;
      ClusterRow(buffers.weights.data(), row_fisher, cols, table_size, buffers, table, index);
      const uint8_t nearest_zero = NearestZero(table, table_size);
      for (int32_t at = begin; at < end; ++at) {
        const int32_t col = pattern.cols[at];
        index[col] = nearest_zero;
        outlier_values[at] = weight[col] - table[nearest_zero];
      }
      if (options.report_dense_distortion && begin < end) {
        dense[row] = DenseRowDistortion(weight, row_fisher, cols, table_size, buffers);
      } else if (options.report_dense_distortion) {
        for (int64_t i = 0; i < cols; ++i) buffers.packed[i] = table[index[i]];
        dense[row] = RowDistortion(weight, row_fisher, buffers.packed.data(), cols);
      }
    }
    PackIndices(options.bits, {indices.data(), count, cols},
                {layer.qweight.data() + first, words, count, rows});
  });

  QuantizeStats& stats = result.stats;
  const OutlierOptions& chosen = options.outliers;
  if (chosen.sensitive_fraction > 0 || chosen.outlier_fraction > 0 || chosen.outlier_range > 0) {
    layer.outliers = {std::move(pattern.row_ptr), std::move(pattern.cols),
                      std::move(outlier_values)};
  }
  stats.distortion = MeasureDistortion(weights, fisher, layer);
  if (options.report_dense_distortion) {
    stats.dense_distortion.emplace();
    for (const Distortion& row : dense) Accumulate(row, *stats.dense_distortion);
  }
  stats.weights = rows * cols;
  stats.sensitive_outliers = pattern.sensitive;
  stats.magnitude_outliers = pattern.magnitude;
  stats.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace sq
