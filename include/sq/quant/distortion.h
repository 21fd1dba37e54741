// What a packed layer gets wrong: one measure for everything that makes one, so that numbers
// compare.
#pragma once

#include "sq/base/matrix_view.h"
#include "sq/packed/packed_layer.h"
#include "sq/quant/sensitivity.h"

namespace sq {

// Over all weights w of a matrix and their packed values q (outliers added).
struct Distortion {
  double squared_error = 0;  // sum of (q - w)^2
  double weighted = 0;       // sum of fisher * (q - w)^2, the growth of the loss but for a factor
  double largest = 0;        // max |q - w|
  double squared_norm = 0;   // sum of w^2, to which squared_error compares
};

// The same over one row of n values. Without fisher (null) weighted is squared_error.
Distortion RowDistortion(const float* weights, const float* fisher, const float* packed, int64_t n);

// Adds `more` to `sum`.
void Accumulate(const Distortion& more, Distortion& sum);

// Compares `layer` with weights [out][in] by Dequantize. fisher [out][in], or without data: all 1.
// Sums run in double along each row, then over the rows: the same for any thread count.
// Throws sq::Error when the shapes differ.
Distortion MeasureDistortion(MatrixView<const float> weights, FisherView fisher,
                             const PackedLayer& layer);

}  // namespace sq
