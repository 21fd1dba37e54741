#include "kernels/cuda/repack.h"

#include <algorithm>
#include <cmath>

#include "kernels/cuda/runtime.h"
#include "sq/base/error.h"
#include "sq/base/half.h"
#include "sq/base/parallel.h"
#include "sq/packed/bit_pack.h"

namespace sq::cuda {
namespace {

constexpr int64_t kMostInputs = 65536;  // an outlier's column has 16 bits

void UnpackRow(const PackedView& layer, int64_t row, uint8_t* codes) {
  const MatrixView<const uint32_t> words = layer.Words();
  UnpackIndices(layer.bits, {words.data + row, words.rows, 1, words.stride},
                {codes, 1, layer.in_features});
}

// Codes of one row, padded, to their places. Rows of one tile share words, so a tile is one
// thread's.
void PlaceCodes(const uint8_t* codes, int64_t row, RepackedLayer* out) {
  const int bits = out->code_bits;
  for (int64_t k = 0; k < out->padded_inputs; ++k) {
    const CodePlace place = PlaceOf(row, k);
    const auto word = [&](int in_group) -> uint32_t& {
      return out->codes[CodeWord(bits, out->padded_inputs, place.tile, place.unit, place.lane,
                                 place.group * bits + in_group)];
    };
    // The code's bits within the byte of its step.
    const uint32_t pair = static_cast<uint32_t>(codes[k]) << (place.upper ? bits : 0);
    if (bits == 4 || place.step < 3) {
      word(place.step) |= pair << (8 * place.byte);
    } else {
      for (int i = 0; i < 3; ++i) word(i) |= (pair >> (2 * i) & 3) << (8 * place.byte + 6);
    }
  }
}

// The least power of two above `largest`, within what fp32 and the product with kInputScale bear.
float ScaleAbove(float largest) {
  if (!(largest > 0)) return 1;
  int exponent;
  std::frexp(largest, &exponent);
  return std::ldexp(1.0f, std::clamp(exponent, -100, 100));
}

void RepackRow(const PackedView& layer, int64_t row, int64_t to, const int32_t* sparse_begin,
               std::vector<uint8_t>* codes, RepackedLayer* out) {
  codes->assign(static_cast<size_t>(out->padded_inputs), 0);
  UnpackRow(layer, row, codes->data());
  const int64_t stored = int64_t{1} << layer.bits, size = int64_t{1} << out->code_bits;
  const float* table = layer.lookup_table + row * stored;
  float largest = 0;
  for (int64_t c = 0; c < stored; ++c) largest = std::max(largest, std::fabs(table[c]));
  const CsrView& csr = layer.outliers;
  const int32_t begin = csr.row_ptr == nullptr ? 0 : csr.row_ptr[row];
  const int32_t end = csr.row_ptr == nullptr ? 0 : csr.row_ptr[row + 1];
  for (int32_t e = begin; e < end; ++e) {
    largest = std::max(largest, std::fabs(csr.vals[e]) * std::ldexp(1.0f, -14));
  }
  const float scale = ScaleAbove(largest);
  out->row_scale[to] = scale;
  uint16_t* rounded = out->table.data() + to * size;
  for (int64_t c = 0; c < size; ++c) rounded[c] = c < stored ? FloatToFp16(table[c] / scale) : 0;
  for (int32_t e = begin; e < end; ++e) {
    const int32_t column = csr.cols[e];
    const uint8_t code = (*codes)[static_cast<size_t>(column)];
    const double weight = static_cast<double>(table[code]) + csr.vals[e];
    const double rest = weight / scale - Fp16ToFloat(rounded[code]);
    out->sparse[static_cast<size_t>(sparse_begin[to] + e - begin)] =
        static_cast<uint32_t>(column) | static_cast<uint32_t>(FloatToFp16(static_cast<float>(rest)))
                                            << 16;
  }
  PlaceCodes(codes->data(), to, out);
}

}  // namespace

RepackedLayer Repack(const std::vector<PackedView>& layers) {
  SQ_CHECK(!layers.empty(), "no layers to repack");
  const PackedView& first = layers.front();
  RepackedLayer out;
  out.code_bits = std::max(first.bits, 3);
  out.inputs = first.in_features;
  SQ_CHECK(out.inputs <= kMostInputs, "a layer of ", out.inputs,
           " inputs: the CUDA kernels take up to ", kMostInputs);
  struct Source {
    const PackedView* layer;
    int64_t row;
  };
  std::vector<Source> sources;
  bool sparse = false;
  for (const PackedView& layer : layers) {
    SQ_CHECK(layer.bits == first.bits && layer.in_features == first.in_features &&
                 (layer.bias == nullptr) == (first.bias == nullptr),
             "layers that do not fit together: ", layer.bits, " bits and ", layer.in_features,
             " inputs beside ", first.bits, " bits and ", first.in_features, " inputs");
    for (int64_t row = 0; row < layer.out_features; ++row) sources.push_back({&layer, row});
    sparse = sparse || !layer.outliers.Empty();
    if (layer.bias != nullptr)
      out.bias.insert(out.bias.end(), layer.bias, layer.bias + layer.out_features);
  }
  out.rows = static_cast<int64_t>(sources.size());
  out.padded_rows = RoundUp(out.rows, kPaddedRows);
  out.padded_inputs = RoundUp(out.inputs, kUnitInputs);
  out.codes.assign(static_cast<size_t>(out.padded_rows * out.padded_inputs / 32 * out.code_bits),
                   0);
  out.table.assign(static_cast<size_t>(out.padded_rows << out.code_bits), 0);
  out.row_scale.assign(static_cast<size_t>(out.padded_rows), 1);
  std::vector<int32_t> begin(static_cast<size_t>(out.padded_rows + 1), 0);
  for (int64_t row = 0; row < out.padded_rows; ++row) {
    int32_t count = 0;
    if (row < out.rows) {
      const Source& source = sources[static_cast<size_t>(row)];
      const CsrView& csr = source.layer->outliers;
      if (csr.row_ptr != nullptr) count = csr.row_ptr[source.row + 1] - csr.row_ptr[source.row];
    }
    begin[static_cast<size_t>(row + 1)] = begin[static_cast<size_t>(row)] + count;
  }
  out.sparse.resize(static_cast<size_t>(begin.back()));
  ParallelFor(CeilDivide(out.rows, kPaddedRows), [&](int64_t group) {
    std::vector<uint8_t> codes;
    for (int64_t row = group * kPaddedRows; row < std::min((group + 1) * kPaddedRows, out.rows);
         ++row) {
      const Source& source = sources[static_cast<size_t>(row)];
      RepackRow(*source.layer, source.row, row, begin.data(), &codes, &out);
    }
  });
  if (sparse) out.sparse_begin = std::move(begin);
  return out;
}

}  // namespace sq::cuda
