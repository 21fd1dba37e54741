#include "sq/packed/packed_layer.h"

#include <cmath>

#include "sq/packed/bit_pack.h"

namespace sq {
namespace {

void CheckFinite(const std::vector<float>& values, const char* kind, const std::string& what) {
  for (size_t i = 0; i < values.size(); ++i) {
    SQ_CHECK(std::isfinite(values[i]), what, ": ", kind, " ", i, " is ", values[i]);
  }
}

}  // namespace

void ValidatePackedLayer(const PackedLayer& layer, const std::string& what) {
  const int64_t words = PackedWords(layer.bits, layer.in_features, what);
  SQ_CHECK(layer.out_features > 0, what, ": no output features");
  const int64_t expected = CheckedMultiply(words, layer.out_features, what);
  SQ_CHECK(static_cast<int64_t>(layer.qweight.size()) == expected, what, ": expected ", expected,
           " words of indices, found ", layer.qweight.size());
  const int64_t entries = layer.out_features * layer.TableSize();
  SQ_CHECK(static_cast<int64_t>(layer.lookup_table.size()) == entries, what, ": expected ", entries,
           " lookup table entries, found ", layer.lookup_table.size());
  SQ_CHECK(layer.bias.empty() || static_cast<int64_t>(layer.bias.size()) == layer.out_features,
           what, ": expected ", layer.out_features, " biases, found ", layer.bias.size());
  ValidateCsr(layer.outliers, layer.out_features, layer.in_features, what);
  CheckFinite(layer.lookup_table, "lookup table entry", what);
  CheckFinite(layer.outliers.vals, "outlier", what);
  CheckFinite(layer.bias, "bias", what);
}

void Dequantize(const PackedLayer& layer, int64_t first_row, MatrixView<float> out) {
  SQ_DCHECK(first_row >= 0 && first_row + out.rows <= layer.out_features);
  SQ_DCHECK(out.cols == layer.in_features);
  const MatrixView<const uint32_t> words = layer.Words();
  std::vector<uint8_t> indices(layer.in_features);
  for (int64_t r = 0; r < out.rows; ++r) {
    const int64_t row = first_row + r;
    UnpackIndices(layer.bits, {words.data + row, words.rows, 1, words.stride},
                  {indices.data(), 1, layer.in_features});
    const float* table = layer.Tables().Row(row);
    float* to = out.Row(r);
    for (int64_t i = 0; i < layer.in_features; ++i) to[i] = table[indices[i]];
    if (layer.outliers.Empty()) continue;
    for (int32_t k = layer.outliers.row_ptr[row]; k < layer.outliers.row_ptr[row + 1]; ++k) {
      to[layer.outliers.cols[k]] += layer.outliers.vals[k];
    }
  }
}

PackedView RowsOf(const PackedView& layer, int64_t begin, int64_t rows) {
  SQ_DCHECK(begin >= 0 && rows >= 0 && begin + rows <= layer.out_features);
  PackedView part = layer;
  part.out_features = rows;
  part.qweight_stride = layer.Words().stride;
  part.qweight += begin;
  part.lookup_table += begin << layer.bits;
  if (layer.bias != nullptr) part.bias += begin;
  if (layer.outliers.row_ptr != nullptr) {
    part.outliers.row_ptr += begin;
    part.outliers.nonzeros = part.outliers.row_ptr[rows] - part.outliers.row_ptr[0];
  }
  return part;
}

int64_t PackedBytes(const PackedLayer& layer) {
  const Csr& csr = layer.outliers;
  return static_cast<int64_t>(4 * (layer.qweight.size() + layer.lookup_table.size() +
                                   csr.row_ptr.size() + csr.cols.size() + csr.vals.size() +
                                   layer.bias.size()));
}

double BitsPerWeight(const PackedLayer& layer) {
  return 8.0 * static_cast<double>(PackedBytes(layer)) /
         (static_cast<double>(layer.out_features) * static_cast<double>(layer.in_features));
}

}  // namespace sq
