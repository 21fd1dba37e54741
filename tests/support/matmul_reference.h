// y = W x of a packed layer in double precision, by plain loops, and how far fp32 may be from it.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "sq/base/matrix_view.h"
#include "sq/packed/bit_pack.h"
#include "sq/packed/packed_layer.h"

namespace sq::test {

struct MatmulReference {
  std::vector<double> y;          // [tokens][out]
  std::vector<double> tolerance;  // [tokens][out]
};

// Each product rounds once, and a term passes through at most as many additions as there are terms,
// whatever their order; a tile's weight rounds once more when its outlier is added. So with n terms
// (inputs, outliers, bias) and u = 2^-24 the error of an output is at most
// gamma(n + 2) * sum |term|, gamma(k) = k u / (1 - k u): Higham, Accuracy and Stability,
// section 3.1.
inline MatmulReference ReferenceMatmul(const PackedLayer& layer, MatrixView<const float> x) {
  const int64_t out = layer.out_features, in = layer.in_features;
  std::vector<uint8_t> indices(static_cast<size_t>(out * in));
  UnpackIndices(layer.bits, layer.Words(), {indices.data(), out, in});
  constexpr double kRoundoff = 1.0 / (1 << 24);
  MatmulReference reference;
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0, magnitude = 0;
      int64_t terms = in;
      const auto add = [&](double term) {
        sum += term;
        magnitude += std::abs(term);
      };
      for (int64_t i = 0; i < in; ++i) {
        add(double{layer.Tables().Row(o)[indices[o * in + i]]} * x.Row(t)[i]);
      }
      if (!layer.outliers.row_ptr.empty()) {
        for (int32_t k = layer.outliers.row_ptr[o]; k < layer.outliers.row_ptr[o + 1]; ++k) {
          add(double{layer.outliers.vals[k]} * x.Row(t)[layer.outliers.cols[k]]);
          ++terms;
        }
      }
      if (!layer.bias.empty()) {
        add(layer.bias[o]);
        ++terms;
      }
      const double ku = static_cast<double>(terms + 2) * kRoundoff;
      reference.y.push_back(sum);
      reference.tolerance.push_back(ku / (1 - ku) * magnitude);
    }
  }
  return reference;
}

// A matrix inside a larger buffer of NaN: a read beside it spoils what is computed, a write beside
// it is seen by Untouched.
class PoisonedMatrix {
 public:
  PoisonedMatrix(int64_t rows, int64_t cols, int64_t padding)
      : rows_(rows), cols_(cols), stride_(cols + padding) {
    buffer_.assign(static_cast<size_t>((rows + 2) * stride_),
                   std::numeric_limits<float>::quiet_NaN());
  }
  MatrixView<float> View() { return {buffer_.data() + stride_, rows_, cols_, stride_}; }
  float At(int64_t row, int64_t col) const { return buffer_[(row + 1) * stride_ + col]; }
  // The matrix alone, row by row.
  std::vector<float> Values() const {
    std::vector<float> values;
    for (int64_t r = 0; r < rows_; ++r) {
      const float* row = buffer_.data() + (r + 1) * stride_;
      values.insert(values.end(), row, row + cols_);
    }
    return values;
  }
  bool Untouched() const {
    for (int64_t i = 0; i < static_cast<int64_t>(buffer_.size()); ++i) {
      const int64_t row = i / stride_ - 1;
      const bool inside = row >= 0 && row < rows_ && i % stride_ < cols_;
      if (!inside && !std::isnan(buffer_[i])) return false;
    }
    return true;
  }

 private:
  int64_t rows_, cols_, stride_;
  std::vector<float> buffer_;
};

}  // namespace sq::test
