// Packed layers and values made from a seed, the layers with the dense weight that they stand for.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "sq/packed/bit_pack.h"
#include "sq/packed/packed_layer.h"

namespace sq::test {

struct RandomLayer {
  PackedLayer layer;
  std::vector<float> weight;  // [out][in], outliers added
};

inline RandomLayer MakeRandomLayer(int bits, int64_t out, int64_t in, int64_t outliers_per_row,
                                   uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  RandomLayer made;
  PackedLayer& layer = made.layer;
  layer.bits = bits;
  layer.out_features = out;
  layer.in_features = in;
  layer.lookup_table.resize(out << bits);
  for (float& entry : layer.lookup_table) entry = normal(random);
  std::vector<uint8_t> indices(out * in);
  for (uint8_t& index : indices) index = static_cast<uint8_t>(random() & ((1u << bits) - 1));
  layer.qweight.resize(PackedWords(bits, in, "random layer") * out);
  PackIndices(bits, {indices.data(), out, in}, {layer.qweight.data(), in / 32 * bits, out});
  made.weight.resize(out * in);
  for (int64_t i = 0; i < out * in; ++i) {
    made.weight[i] = layer.lookup_table[((i / in) << bits) + indices[i]];
  }
  if (outliers_per_row == 0) return made;
  layer.outliers.row_ptr.push_back(0);
  std::vector<int32_t> cols(in);
  std::iota(cols.begin(), cols.end(), 0);
  for (int64_t row = 0; row < out; ++row) {
    std::shuffle(cols.begin(), cols.end(), random);
    std::vector<int32_t> chosen(cols.begin(), cols.begin() + outliers_per_row);
    std::sort(chosen.begin(), chosen.end());
    for (const int32_t col : chosen) {
      layer.outliers.cols.push_back(col);
      layer.outliers.vals.push_back(normal(random));
      made.weight[row * in + col] += layer.outliers.vals.back();
    }
    layer.outliers.row_ptr.push_back(static_cast<int32_t>(layer.outliers.cols.size()));
  }
  return made;
}

// Layers of one width and one number of inputs as one, their rows one below the other.
inline PackedLayer JoinRows(const std::vector<PackedView>& layers) {
  PackedLayer joined;
  joined.bits = layers.front().bits;
  joined.in_features = layers.front().in_features;
  for (const PackedView& layer : layers) joined.out_features += layer.out_features;
  for (int64_t word = 0; word < joined.in_features / 32 * joined.bits; ++word) {
    for (const PackedView& layer : layers) {
      const uint32_t* words = layer.Words().Row(word);
      joined.qweight.insert(joined.qweight.end(), words, words + layer.out_features);
    }
  }
  joined.outliers.row_ptr = {0};
  for (const PackedView& layer : layers) {
    joined.lookup_table.insert(joined.lookup_table.end(), layer.lookup_table,
                               layer.lookup_table + (layer.out_features << layer.bits));
    for (int64_t row = 0; row < layer.out_features; ++row) {
      const CsrView& csr = layer.outliers;
      for (int32_t k = csr.Empty() ? 0 : csr.row_ptr[row]; !csr.Empty() && k < csr.row_ptr[row + 1];
           ++k) {
        joined.outliers.cols.push_back(csr.cols[k]);
        joined.outliers.vals.push_back(csr.vals[k]);
      }
      joined.outliers.row_ptr.push_back(static_cast<int32_t>(joined.outliers.cols.size()));
    }
  }
  return joined;
}

inline std::vector<float> RandomValues(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

// Whole numbers of a few bits: every product and every sum of products is exact in fp32, the values
// themselves in fp16, so that results are right to the last bit or wrong, whatever the order.
inline void MakeWhole(std::vector<float>* values) {
  for (float& value : *values) value = std::round(2 * value);
}

enum class Sparse { kNone, kNoEntries, kOnePerRow, kMany, kOneFullRow };
constexpr Sparse kSparse[] = {Sparse::kNone, Sparse::kNoEntries, Sparse::kOnePerRow, Sparse::kMany,
                              Sparse::kOneFullRow};

inline PackedLayer MakeSparseLayer(int bits, int64_t out, int64_t in, Sparse sparse,
                                   uint32_t seed) {
  const int64_t per_row = sparse == Sparse::kOnePerRow ? 1 : sparse == Sparse::kMany ? in / 8 : 0;
  PackedLayer layer = MakeRandomLayer(bits, out, in, per_row, seed).layer;
  if (sparse == Sparse::kNoEntries) layer.outliers.row_ptr.assign(static_cast<size_t>(out + 1), 0);
  if (sparse == Sparse::kOneFullRow) {
    layer.outliers.row_ptr.assign(static_cast<size_t>(out + 1), 0);
    for (int64_t o = out / 2; o < out; ++o) layer.outliers.row_ptr[o + 1] = static_cast<int>(in);
    layer.outliers.cols.resize(static_cast<size_t>(in));
    std::iota(layer.outliers.cols.begin(), layer.outliers.cols.end(), 0);
    layer.outliers.vals = RandomValues(in, seed);
  }
  ValidatePackedLayer(layer, "test layer");
  return layer;
}

}  // namespace sq::test
