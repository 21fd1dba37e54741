#include "sq/quant/sensitivity.h"

#include <algorithm>
#include <cmath>

#include "sq/base/error.h"
#include "sq/base/parallel.h"

namespace sq {

void ValidateSensitivity(MatrixView<const float> weights, FisherView fisher,
                         const std::string& what) {
  SQ_CHECK(fisher.data == nullptr || (fisher.rows == weights.rows && fisher.cols == weights.cols),
           what, ": expected sensitivities [", weights.rows, ", ", weights.cols, "], found [",
           fisher.rows, ", ", fisher.cols, "]");
  ParallelFor(weights.rows, [&](int64_t row) {
    const float* weight = weights.Row(row);
    for (int64_t i = 0; i < weights.cols; ++i) {
      SQ_CHECK(std::isfinite(weight[i]), what, ": weight at row ", row, ", column ", i, " is ",
               weight[i]);
    }
    if (fisher.data == nullptr) return;
    const float* sensitivity = fisher.Row(row);
    for (int64_t i = 0; i < weights.cols; ++i) {
      SQ_CHECK(std::isfinite(sensitivity[i]) && sensitivity[i] >= 0, what,
               ": expected a finite, non-negative sensitivity at row ", row, ", column ", i,
               ", found ", sensitivity[i]);
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
