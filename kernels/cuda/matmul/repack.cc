#include "kernels/cuda/matmul/repack.h"

#include <algorithm>
#include <cmath>

#include "kernels/cuda/runtime.h"
#include "sq/base/error.h"
#include "sq/base/half.h"
#include "sq/base/parallel.h"
#include "sq/packed/bit_pack.h"

namespace sq::cuda {
namespace {

// So that 32-bit offsets suffice, and a warp has at most one K-tile for each lane (OutlierRanges).
constexpr int64_t kMaxInputs = 65536;

// A layer's row and where it goes.
struct Source {
  const PackedView* layer;
  int64_t row, to;
  int32_t Begin() const { return Empty() ? 0 : layer->outliers.row_ptr[row]; }
  int32_t End() const { return Empty() ? 0 : layer->outliers.row_ptr[row + 1]; }
  bool Empty() const { return layer->outliers.row_ptr == nullptr; }
};

struct Outlier {
  int32_t column, row;  // row: of the tile
  uint16_t value;
};

void UnpackRow(const PackedView& layer, int64_t row, uint8_t* indices) {
  const MatrixView<const uint32_t> words = layer.Words();
  UnpackIndices(layer.bits, {words.data + row, words.rows, 1, words.stride},
                {indices, 1, layer.in_features});
}

// Stores the padded indices of one row. Rows of one tile share words, so one thread must handle a
// tile.
void StoreIndices(const uint8_t* indices, int64_t row, RepackedLayer* out) {
  for (int64_t k = 0; k < out->padded_inputs; ++k) {
    const IndexPosition position = IndexPositionOf(out->index_bits, out->padded_inputs, row, k);
    const uint32_t index = indices[k];
    uint32_t* const words = out->indices.data() + position.word;
    if (position.has_vector) {
      words[0] |= index << position.shift;
    } else {
      for (int i = 0; i < 3; ++i)
        words[i * kVectorWords] |= (index >> i & 1) << (position.shift + 3);
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

// Adds the row's outliers to those of its tile.
void RepackRow(const Source& source, std::vector<uint8_t>* indices, std::vector<Outlier>* outliers,
               RepackedLayer* out) {
  const PackedView& layer = *source.layer;
  indices->assign(static_cast<size_t>(out->padded_inputs), 0);
  UnpackRow(layer, source.row, indices->data());
  const int64_t stored = int64_t{1} << layer.bits, size = int64_t{1} << out->index_bits;
  const float* table = layer.lookup_table + source.row * stored;
  float largest = 0;
  for (int64_t c = 0; c < stored; ++c) largest = std::max(largest, std::fabs(table[c]));
  const CsrView& csr = layer.outliers;
  for (int32_t e = source.Begin(); e < source.End(); ++e) {
    largest = std::max(largest, std::fabs(csr.vals[e]) * std::ldexp(1.0f, -14));
  }
  const float scale = ScaleAbove(largest);
  out->row_scale[static_cast<size_t>(source.to)] = scale;
  uint16_t* rounded = out->table.data() + source.to * size;
  for (int64_t c = 0; c < size; ++c) rounded[c] = c < stored ? FloatToFp16(table[c] / scale) : 0;
  for (int32_t e = source.Begin(); e < source.End(); ++e) {
    const int32_t column = csr.cols[e];
    const uint8_t index = (*indices)[static_cast<size_t>(column)];
    const double weight = static_cast<double>(table[index]) + csr.vals[e];
    const double rest = weight / scale - Fp16ToFloat(rounded[index]);
    outliers->push_back({column, static_cast<int32_t>(source.to % kTileRows),
                         FloatToFp16(static_cast<float>(rest))});
  }
  StoreIndices(indices->data(), source.to, out);
}

// Where the outlier blocks of each tile and K-tile begin.
std::vector<int32_t> CountOutlierBlocks(const std::vector<Source>& sources,
                                        const RepackedLayer& layer) {
  const int64_t k_tiles = layer.padded_inputs / kTileInputs;
  std::vector<int32_t> begin(static_cast<size_t>(layer.padded_rows / kTileRows * k_tiles + 1), 0);
  for (const Source& source : sources) {
    int32_t* const counts = begin.data() + 1 + source.to / kTileRows * k_tiles;
    const int32_t* const columns = source.layer->outliers.cols;
    for (int32_t e = source.Begin(); e < source.End(); ++e) ++counts[columns[e] / kTileInputs];
  }
  for (size_t i = 1; i < begin.size(); ++i)
    begin[i] = begin[i - 1] + static_cast<int32_t>(CeilDivide(begin[i], kOutlierBlock));
  return begin;
}

// Stores a tile's outliers. Tiles share no blocks, so different threads may handle them.
void StoreOutliers(int64_t tile, std::vector<Outlier>* outliers, RepackedLayer* out) {
  std::sort(outliers->begin(), outliers->end(), [](const Outlier& a, const Outlier& b) {
    return a.column != b.column ? a.column < b.column : a.row < b.row;
  });
  const int64_t k_tiles = out->padded_inputs / kTileInputs;
  const auto store = [&](int64_t at, uint16_t value, uint32_t row, uint32_t input) {
    uint32_t* const words = out->outlier_blocks.data() + OutlierWord(at);
    words[0] |= static_cast<uint32_t>(value) << OutlierShift(at);
    words[1] |= OutlierPosition(row, input) << OutlierShift(at);
  };
  auto next = outliers->begin();
  for (int64_t k_tile = 0; k_tile < k_tiles; ++k_tile) {
    const int32_t* const begin = out->outlier_begin.data() + tile * k_tiles + k_tile;
    for (int64_t at = int64_t{begin[0]} * kOutlierBlock; at < int64_t{begin[1]} * kOutlierBlock;
         ++at) {
      if (next != outliers->end() && next->column / kTileInputs == k_tile) {
        store(at, next->value, static_cast<uint32_t>(next->row),
              static_cast<uint32_t>(next->column % kTileInputs));
        ++next;
      } else {
        store(at, 0, 0, kTileInputs - 1);
      }
    }
  }
}

// The rows of all layers, in order.
std::vector<Source> SourcesOf(const std::vector<PackedView>& layers, bool interleaved) {
  std::vector<Source> sources;
  const auto add = [&](const PackedView& layer, int64_t row) {
    sources.push_back({&layer, row, static_cast<int64_t>(sources.size())});
  };
  if (interleaved) {
    for (int64_t row = 0; row < layers.front().out_features; ++row) {
      for (const PackedView& layer : layers) add(layer, row);
    }
  } else {
    for (const PackedView& layer : layers) {
      for (int64_t row = 0; row < layer.out_features; ++row) add(layer, row);
    }
  }
  return sources;
}

// For messages.
std::string Sketch(const PackedView& layer) {
  return StrCat(layer.bits, " bits, ", layer.out_features, " rows of ", layer.in_features,
                " inputs, ", layer.bias == nullptr ? "no bias" : "a bias");
}

}  // namespace

RepackedLayer Repack(const std::vector<PackedView>& layers, bool interleaved) {
  SQ_CHECK(!layers.empty(), "no layers to repack");
  const PackedView& first = layers.front();
  RepackedLayer out;
  out.index_bits = std::max(first.bits, 3);
  out.inputs = first.in_features;
  SQ_CHECK(out.inputs <= kMaxInputs, "a layer of ", out.inputs,
           " inputs: the CUDA kernels take up to ", kMaxInputs);
  bool sparse = false;
  for (const PackedView& layer : layers) {
    SQ_CHECK(layer.bits == first.bits && layer.in_features == first.in_features &&
                 (layer.bias == nullptr) == (first.bias == nullptr) &&
                 (!interleaved || layer.out_features == first.out_features),
             "layers that do not fit together: ", Sketch(layer), " beside ", Sketch(first));
    sparse = sparse || !layer.outliers.Empty();
  }
  const std::vector<Source> sources = SourcesOf(layers, interleaved);
  if (first.bias != nullptr) {
    for (const Source& source : sources) out.bias.push_back(source.layer->bias[source.row]);
  }
  out.rows = static_cast<int64_t>(sources.size());
  out.padded_rows = RoundUp(out.rows, kPaddedRows);
  out.padded_inputs = RoundUp(out.inputs, kTileInputs);
  out.indices.assign(static_cast<size_t>(out.padded_rows * out.padded_inputs / 32 * out.index_bits),
                     0);
  out.table.assign(static_cast<size_t>(out.padded_rows << out.index_bits), 0);
  out.row_scale.assign(static_cast<size_t>(out.padded_rows), 1);
  if (sparse) {
    out.outlier_begin = CountOutlierBlocks(sources, out);
    out.outlier_blocks.assign(static_cast<size_t>(out.outlier_begin.back()) * kOutlierBlockWords,
                              0);
  }
  ParallelFor(CeilDivide(out.rows, kTileRows), [&](int64_t tile) {
    std::vector<uint8_t> indices;
    std::vector<Outlier> outliers;
    for (int64_t row = tile * kTileRows; row < std::min((tile + 1) * kTileRows, out.rows); ++row)
      RepackRow(sources[static_cast<size_t>(row)], &indices, &outliers, &out);
    if (sparse) StoreOutliers(tile, &outliers, &out);
  });
  return out;
}

}  // namespace sq::cuda
