#include "sq/quant/distortion.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "sq/base/error.h"
#include "sq/base/integer_math.h"
#include "sq/base/parallel.h"

namespace sq {

Distortion RowDistortion(const float* weights, const float* fisher, const float* packed,
                         int64_t n) {
  Distortion row;
  for (int64_t i = 0; i < n; ++i) {
    const double weight = weights[i];
    const double error = packed[i] - weight;
    const double squared = error * error;
    row.squared_error += squared;
    row.weighted += fisher == nullptr ? squared : fisher[i] * squared;
    row.largest = std::max(row.largest, std::fabs(error));
    row.squared_norm += weight * weight;
  }
  return row;
}

void Accumulate(const Distortion& more, Distortion* sum) {
  sum->squared_error += more.squared_error;
  sum->weighted += more.weighted;
  sum->largest = std::max(sum->largest, more.largest);
  sum->squared_norm += more.squared_norm;
}

Distortion MeasureDistortion(MatrixView<const float> weights, FisherView fisher,
                             const PackedLayer& layer) {
  SQ_CHECK(weights.rows == layer.out_features && weights.cols == layer.in_features,
           "expected weights [", layer.out_features, ", ", layer.in_features, "], found [",
           weights.rows, ", ", weights.cols, "]");
  SQ_CHECK(fisher.data == nullptr || (fisher.rows == weights.rows && fisher.cols == weights.cols),
           "expected sensitivities [", weights.rows, ", ", weights.cols, "], found [", fisher.rows,
           ", ", fisher.cols, "]");
  constexpr int64_t kChunk = 16;  // rows; adjacent ones share cache lines of qweight
  std::vector<Distortion> rows(weights.rows);
  ParallelFor(CeilDivide(weights.rows, kChunk), [&](int64_t chunk) {
    const int64_t first = chunk * kChunk, count = std::min(kChunk, weights.rows - first);
    std::vector<float> packed(count * weights.cols);
    const MatrixView<float> view{packed.data(), count, weights.cols};
    Dequantize(layer, first, view);
    for (int64_t r = 0; r < count; ++r) {
      rows[first + r] = RowDistortion(weights.Row(first + r),
                                      fisher.data == nullptr ? nullptr : fisher.Row(first + r),
                                      view.Row(r), weights.cols);
    }
  });
  Distortion sum;
  for (const Distortion& row : rows) Accumulate(row, &sum);
  return sum;
}

}  // namespace sq
