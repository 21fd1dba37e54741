// Which weights of a matrix are kept exactly: the most sensitive ones, and the largest of the rest.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sq/base/matrix_view.h"
#include "sq/quant/sensitivity.h"

namespace sq {

// At most one of outlier_fraction and outlier_range may be set.
struct OutlierOptions {
  double sensitive_fraction = 0;  // of all weights, 0..1: those with the largest sensitivity
  double outlier_fraction = 0;    // of all weights, 0..1: the largest |weight| of the rest
  double outlier_range = 0;       // the original's --range instead of a fraction; 0 is off
};

// The paper's levels by their sparsity in percent: up to 0.05 all of it is sensitive weights;
// beyond, 0.05 is, and the rest goes by magnitude (0.45 = 0.05 + 0.4). Throws sq::Error outside [0,
// 100].
OutlierOptions SparsityLevels(double percent);

// Positions in compressed rows; cols ascend inside a row.
struct OutlierPattern {
  std::vector<int32_t> row_ptr;  // [rows + 1]
  std::vector<int32_t> cols;     // [sensitive + magnitude]
  int64_t sensitive = 0;         // how many were chosen by sensitivity
  int64_t magnitude = 0;         // and how many of the rest by |weight|
};

// The number of weights that a fraction stands for: floor(fraction * count), where a product that
// only rounding (1e-15 of it) keeps below a whole number is that number: 0.29 of 100 is 29.
int64_t OutlierCount(double fraction, int64_t count);

// The smallest |weight| that counts as an outlier by the original's rule: with quartiles q1, q3 of
// all weights (linear interpolation, numpy's default) and iqr = q3 - q1, the larger magnitude of q1
// - range * iqr and q3 + range * iqr. Cost: O(n).
double RangeThreshold(MatrixView<const float> weights, double range);

// Chooses outliers of weights [out][in], which ValidateSensitivity has passed. First
// OutlierCount(sensitive_fraction) weights of largest fisher (with no fisher all are equal); then,
// of those not chosen, OutlierCount(outlier_fraction) of largest |weight|, or all with |weight| at
// or above RangeThreshold(outlier_range). Of equal ones those lowest in row-major order are taken.
// Throws sq::Error, naming `what`, for options out of range or more than 2^31 - 1 outliers.
// Cost: O(n), two passes over each matrix on all threads, and no copy of it.
OutlierPattern ChooseOutliers(MatrixView<const float> weights, FisherView fisher,
                              const OutlierOptions& options, const std::string& what);

}  // namespace sq
