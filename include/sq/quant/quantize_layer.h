// Quantizes one matrix: chooses outliers, clusters the rest of each row, packs, and measures the
// error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sq/base/matrix_view.h"
#include "sq/base/row_clusterer.h"
#include "sq/packed/packed_layer.h"
#include "sq/quant/distortion.h"
#include "sq/quant/outliers.h"
#include "sq/quant/sensitivity.h"

namespace sq {

struct QuantizeOptions {
  int bits = 4;  // 2, 3 or 4
  OutlierOptions outliers;
  // Number of rows with outliers to cluster a second time with the outliers left in, in order to
  // estimate QuantizeStats::dense_distortion. 0: no estimate.
  int64_t dense_distortion_rows = 0;
  // Clusters rows by the contract of Kmeans1d (kmeans1d.h), for instance on a device; if empty,
  // Kmeans1d is used on all threads. A clusterer that produces the bytes of Kmeans1d gives the same
  // layer.
  RowClusterer cluster_rows;
};

// The distortion that a layer would have without a sparse part. Rows without outliers count as they
// are; those with outliers are extrapolated from evenly spaced ones, by the ratio of their
// distortion with and without a sparse part. Exact when `rows_clustered` is `rows_with_outliers`.
struct DenseDistortion {
  double weighted = 0;       // as Distortion::weighted
  double squared_error = 0;  // as Distortion::squared_error
  int64_t rows_with_outliers = 0, rows_clustered = 0;
};

struct QuantizeStats {
  Distortion distortion;  // of the result; outliers are exact up to the rounding of one addition
  std::optional<DenseDistortion> dense_distortion;
  int64_t weights = 0;
  int64_t sensitive_outliers = 0;
  int64_t magnitude_outliers = 0;
  double seconds = 0;  // wall clock, all threads together

  int64_t NonZeros() const { return sensitive_outliers + magnitude_outliers; }
};

struct QuantizedLayer {
  PackedLayer layer;  // without bias
  QuantizeStats stats;
};

// Quantizes weights [out][in] (in: a multiple of 32) with the Fisher diagonal [out][in], or a view
// without data for plain k-means. Neither is changed. As in the original (SqueezeLLM, nuq.py and
// pack.py), outliers are set to 0 in the dense part and ignored in the k-means of their row; their
// index is that of the table entry nearest 0 (the lower of two) and their value is the weight minus
// that entry. If all outlier options are 0, the layer has no sparse part.
//
// Throws sq::Error, naming `what`, for invalid shapes, options, weights or sensitivities. The same
// bytes for any number of threads. Cost: one k-means per row. Memory besides the result: 9 bytes
// per weight for 16 rows per thread, or what options.cluster_rows uses.
QuantizedLayer QuantizeLayer(MatrixView<const float> weights, FisherView fisher,
                             const QuantizeOptions& options, const std::string& what);

}  // namespace sq
