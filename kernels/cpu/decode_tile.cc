#include <algorithm>

#include "kernels/cpu/kernels.h"
#include "sq/packed/bit_pack.h"

namespace sq {
namespace {

// Rows decoded together: their words share cache lines of qweight.
constexpr int64_t kRowsTogether = 16;

template <int bits>
void Decode(const PackedView& layer, int64_t begin, MatrixView<float> tile) {
  const MatrixView<const uint32_t> words = layer.Words();
  for (int64_t first = 0; first < tile.rows; first += kRowsTogether) {
    const int64_t last = std::min(first + kRowsTogether, tile.rows);
    for (int64_t group = 0; group < tile.cols / kPackGroup; ++group) {
      for (int64_t r = first; r < last; ++r) {
        uint8_t indices[kPackGroup];
        UnpackGroup<bits>(words.Row(group * bits) + begin + r, words.stride, indices);
        const float* table = layer.lookup_table + ((begin + r) << bits);
        float* out = tile.Row(r) + group * kPackGroup;
        for (int i = 0; i < kPackGroup; ++i) out[i] = table[indices[i]];
      }
    }
  }
}

}  // namespace

void DecodeTile(const PackedView& layer, int64_t begin, MatrixView<float> tile) {
  if (layer.bits == 2) {
    Decode<2>(layer, begin, tile);
  } else if (layer.bits == 3) {
    Decode<3>(layer, begin, tile);
  } else {
    Decode<4>(layer, begin, tile);
  }
  const CsrView& csr = layer.outliers;
  if (csr.Empty()) return;
  for (int64_t r = 0; r < tile.rows; ++r) {
    for (int32_t k = csr.row_ptr[begin + r]; k < csr.row_ptr[begin + r + 1]; ++k) {
      tile.Row(r)[csr.cols[k]] += csr.vals[k];
    }
  }
}

}  // namespace sq
