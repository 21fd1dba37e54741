// From one layer's Fisher diagonal to the sensitivities that k-means weighs a row by.
#pragma once

#include <cstdint>
#include <string>

#include "sq/base/matrix_view.h"

namespace sq {

// The Fisher diagonal of a layer, [out_features][in_features]: squared gradients summed over
// samples, in any unit. Without data every weight counts the same (plain k-means).
using FisherView = MatrixView<const float>;

// Throws sq::Error, naming `what`, the row and the column, unless fisher is absent or has the
// weights' shape, all weights are finite, and all sensitivities are finite and not negative: both
// come from a user's files. Cost: one pass, on all threads.
void ValidateSensitivity(MatrixView<const float> weights, FisherView fisher,
                         const std::string& what);

// Writes the sensitivities of one row of n weights: its Fisher values (1 where fisher is null), 0
// where the weight is exactly 0 (an outlier that was taken out, or a weight that was masked
// before), and all 1 if that leaves none above 0. As the original does (SqueezeLLM, nuq.py).
void RowSensitivity(const float* weights, const float* fisher, int64_t n, float* sensitivity);

}  // namespace sq
