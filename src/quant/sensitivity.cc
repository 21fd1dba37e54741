#include "sq/quant/sensitivity.h"

#include <algorithm>
#include <limits>

#include "sq/base/error.h"
#include "sq/base/parallel.h"

namespace sq {

namespace {

// Comparisons with NaN are false. Without an early exit the loop is vectorized.
bool AllWithin(const float* values, int64_t n, float min) {
  constexpr float kMaxValue = std::numeric_limits<float>::max();
  int outside = 0;
  for (int64_t i = 0; i < n; ++i) outside |= !(values[i] >= min) | !(values[i] <= kMaxValue);
  return outside == 0;
}

// Index of the first value for which AllWithin is false.
int64_t FirstOutside(const float* values, int64_t n, float min) {
  int64_t i = 0;
  while (i + 1 < n && AllWithin(values + i, 1, min)) ++i;
  return i;
}

}  // namespace

void ValidateSensitivity(MatrixView<const float> weights, FisherView fisher,
                         const std::string& what) {
  SQ_CHECK(fisher.data == nullptr || (fisher.rows == weights.rows && fisher.cols == weights.cols),
           what, ": expected sensitivities [", weights.rows, ", ", weights.cols, "], found [",
           fisher.rows, ", ", fisher.cols, "]");
  constexpr float kMinWeight = std::numeric_limits<float>::lowest();
  const int64_t n = weights.cols;
  ParallelFor(weights.rows, [&](int64_t row) {
    const float* weight = weights.Row(row);
    if (!AllWithin(weight, n, kMinWeight)) {
      const int64_t col = FirstOutside(weight, n, kMinWeight);
      throw Error(StrCat(what, ": expected a finite weight at row ", row, ", column ", col,
                         ", found ", weight[col]));
    }
    if (fisher.data == nullptr) return;
    const float* sensitivity = fisher.Row(row);
    if (!AllWithin(sensitivity, n, 0)) {
      const int64_t col = FirstOutside(sensitivity, n, 0);
      throw Error(StrCat(what, ": expected a finite, non-negative sensitivity at row ", row,
                         ", column ", col, ", found ", sensitivity[col]));
    }
  });
}

void RowSensitivity(const float* weights, const float* fisher, int64_t n, float* sensitivity) {
  bool any = false;
  for (int64_t i = 0; i < n; ++i) {
    const float value = fisher == nullptr ? 1.0f : fisher[i];
    sensitivity[i] = weights[i] == 0 ? 0.0f : value;
    any |= sensitivity[i] > 0;
  }
  if (!any) std::fill_n(sensitivity, n, 1.0f);
}

}  // namespace sq
