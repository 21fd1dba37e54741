// One matrix end to end: choose outliers, cluster what is left of each row, pack, measure.
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
  // Of the rows that have outliers, cluster this many a second time with their outliers left in, to
  // estimate QuantizeStats::dense_distortion. 0: no estimate.
  int64_t dense_distortion_rows = 0;
  // Clusters the rows by the contract of Kmeans1d (kmeans1d.h), on a device for instance; if empty,
  // Kmeans1d does on all threads. One that gives Kmeans1d's bytes gives the same layer.
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
  Distortion distortion;  // of the result; outliers are exact but for the rounding of one addition
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

// Quantizes weights [out][in] (in a multiple of 32) with the Fisher diagonal [out][in], or without
// data for plain k-means. Neither is changed. As the original does (SqueezeLLM, nuq.py and
// pack.py): outliers become 0 in the dense part and weigh nothing in their row's k-means; their
// index is that of the table entry nearest 0 (the lower of two) and their value the weight minus
// that entry. With outlier options all 0 the layer has no sparse part.
//
// Throws sq::Error, naming `what`, for shapes, options, weights or sensitivities that will not do.
// The same bytes for any thread count. Cost: kmeans1d a row; besides the result, 9 bytes for
// each weight of 16 rows a thread, or what options.cluster_rows takes.
QuantizedLayer QuantizeLayer(MatrixView<const float> weights, FisherView fisher,
                             const QuantizeOptions& options, const std::string& what);

}  // namespace sq
