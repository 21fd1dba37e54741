// The sensitivities by which k-means weights a row, from a layer's Fisher diagonal.
#pragma once

#include <cstdint>
#include <string>

#include "sq/base/matrix_view.h"

namespace sq {

// The Fisher diagonal of a layer, [out_features][in_features]: squared gradients summed over
// samples, up to any constant factor. A view without data means that all weights count the same
// (plain k-means).
using FisherView = MatrixView<const float>;

// Checks data from a user's files. Throws sq::Error, naming `what`, the row and the column, unless
// fisher is absent or has the shape of the weights, all weights are finite, and all sensitivities
// are finite and not negative. Cost: one parallel pass.
void ValidateSensitivity(MatrixView<const float> weights, FisherView fisher,
                         const std::string& what);

// Writes the sensitivities of one row of n weights: the Fisher values (all 1 if fisher is null),
// but 0 where the weight is exactly 0 (a removed outlier or a pruned weight); all 1 if that leaves
// none above 0. As in the original (SqueezeLLM, nuq.py).
void RowSensitivity(const float* weights, const float* fisher, int64_t n, float* sensitivity);

}  // namespace sq
