// Chooses the weights of a matrix that are kept exact: the most sensitive ones and, of the rest,
// the largest.
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

// The paper's levels of sparsity in percent: up to 0.05 % of the weights are chosen by sensitivity,
// all beyond that by magnitude (0.45 = 0.05 + 0.4). Throws sq::Error outside [0, 100].
OutlierOptions SparsityLevels(double percent);

// Positions in CSR format; columns ascend within a row.
struct OutlierPattern {
  std::vector<int32_t> row_ptr;  // [rows + 1]
  std::vector<int32_t> cols;     // [sensitive + magnitude]
  int64_t sensitive = 0;         // number chosen by sensitivity
  int64_t magnitude = 0;         // number chosen by magnitude
};

// The number of weights for a fraction: floor(fraction * count), except that a product below a
// whole number by a rounding error only (relative 1e-15) counts as that number, so that 0.29 of 100
// is 29.
int64_t OutlierCount(double fraction, int64_t count);

// The smallest |weight| that is an outlier by the original's rule: with the quartiles q1 and q3 of
// all weights (linear interpolation, numpy's default) and iqr = q3 - q1, the larger of |q1 - range
// * iqr| and |q3 + range * iqr|. Cost: O(n).
double RangeThreshold(MatrixView<const float> weights, double range);

// Chooses outliers of weights [out][in]; weights and fisher must be valid by ValidateSensitivity.
// First, OutlierCount(sensitive_fraction) weights with the largest fisher values (all equal if
// there is no fisher). Then, of the remaining weights, OutlierCount(outlier_fraction) with the
// largest |weight|, or all with |weight| >= RangeThreshold(outlier_range). Ties go to the lowest
// position in row-major order. Throws sq::Error, naming `what`, for options out of range or more
// than 2^31 - 1 outliers. Cost: O(n), two parallel passes over each matrix without copying it.
OutlierPattern ChooseOutliers(MatrixView<const float> weights, FisherView fisher,
                              const OutlierOptions& options, const std::string& what);

}  // namespace sq
