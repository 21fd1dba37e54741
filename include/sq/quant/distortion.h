// The error of a packed layer, measured in one way for all code that produces layers.
#pragma once

#include "sq/base/matrix_view.h"
#include "sq/packed/packed_layer.h"
#include "sq/quant/sensitivity.h"

namespace sq {

// Over all weights w of a matrix and their packed values q, outliers included.
struct Distortion {
  double squared_error = 0;  // sum of (q - w)^2
  double weighted =
      0;  // sum of fisher * (q - w)^2: up to a factor, the estimated increase of the loss
  double largest = 0;       // max |q - w|
  double squared_norm = 0;  // sum of w^2, for comparison with squared_error
};

// The same for one row of n values. If fisher is null, weighted equals squared_error.
Distortion RowDistortion(const float* weights, const float* fisher, const float* packed, int64_t n);

// Adds `more` to *sum.
void Accumulate(const Distortion& more, Distortion* sum);

// Compares the dequantized `layer` with weights [out][in]. fisher: [out][in]; a view without data
// stands for all ones. Sums in double along each row and then over the rows, so the result is the
// same for any number of threads. Throws sq::Error when the shapes differ.
Distortion MeasureDistortion(MatrixView<const float> weights, FisherView fisher,
                             const PackedLayer& layer);

}  // namespace sq
