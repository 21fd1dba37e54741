// One quantized linear layer: the weight [out_features, in_features] as packed indices into one
// lookup table per output channel, plus exact outliers. Plain data: `quant` produces it, `kernels`
// compute with it, `checkpoint` stores it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sq/base/matrix_view.h"
#include "sq/packed/csr.h"

namespace sq {

// weight[o][i] = lookup_table[o][index(o, i)] + outliers[o][i]. At an outlier, index selects the
// table entry nearest zero, and the outlier's value is the weight minus that entry (the original's
// convention), so that the sum is the weight.
struct PackedLayer {
  int bits = 0;  // 2, 3 or 4; may differ between the layers of a model
  int64_t out_features = 0;
  int64_t in_features = 0;          // a multiple of 32
  std::vector<uint32_t> qweight;    // [in/32*bits][out], see bit_pack.h
  std::vector<float> lookup_table;  // [out][2^bits]; in any order
  Csr outliers;
  std::vector<float> bias;  // [out], empty when the layer has none

  int TableSize() const { return 1 << bits; }
  MatrixView<const uint32_t> Words() const {
    return {qweight.data(), in_features / 32 * bits, out_features};
  }
  MatrixView<const float> Tables() const {
    return {lookup_table.data(), out_features, TableSize()};
  }
};

// A non-owning view of a packed layer, in the layout of its tensors on disk; what kernels take,
// whether the memory belongs to a PackedLayer or to another program. `bias` is null if there is
// none.
struct PackedView {
  int bits = 0;
  int64_t out_features = 0;
  int64_t in_features = 0;
  const uint32_t* qweight = nullptr;
  const float* lookup_table = nullptr;
  CsrView outliers;
  const float* bias = nullptr;
  int64_t qweight_stride = 0;  // words from one row of qweight to the next; 0: out_features

  PackedView() = default;
  PackedView(const PackedLayer& layer)
      : bits(layer.bits),
        out_features(layer.out_features),
        in_features(layer.in_features),
        qweight(layer.qweight.data()),
        lookup_table(layer.lookup_table.data()),
        outliers(layer.outliers),
        bias(layer.bias.empty() ? nullptr : layer.bias.data()) {}

  MatrixView<const uint32_t> Words() const {
    const int64_t stride = qweight_stride == 0 ? out_features : qweight_stride;
    return {qweight, in_features / 32 * bits, out_features, stride};
  }
};

// A view of the output channels [begin, begin + rows) of a layer. The row_ptr of its outliers does
// not start at 0: it indexes the cols and vals of the whole layer.
PackedView RowsOf(const PackedView& layer, int64_t begin, int64_t rows);

// Throws sq::Error, naming `what`, unless all sizes are consistent and all table entries, outliers
// and biases are finite.
void ValidatePackedLayer(const PackedLayer& layer, const std::string& what);

// Writes rows [first_row, first_row + out.rows) of the weight, outliers added, to out
// [rows][in_features]. Plain loops; the kernels are tested against it.
void Dequantize(const PackedLayer& layer, int64_t first_row, MatrixView<float> out);

// Bytes of the layer in a file: indices, tables, outliers (int32 column, fp32 value, int32 row
// pointers) and bias.
int64_t PackedBytes(const PackedLayer& layer);

// 8 * PackedBytes / number of weights.
double BitsPerWeight(const PackedLayer& layer);

}  // namespace sq
