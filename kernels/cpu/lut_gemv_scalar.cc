// LUT-GEMV, the scalar reference: plain loops over the layout as stored, no intrinsics. Read this
// first.
#include "kernels/cpu/kernels.h"
#include "sq/packed/bit_pack.h"

namespace sq {
namespace {

template <int bits>
void Gemv(const PackedView& layer, const float* x, int64_t begin, int64_t end, float* y) {
  const MatrixView<const uint32_t> words = layer.Words();
  for (int64_t o = begin; o < end; ++o) y[o] = 0;
  // Groups outside, outputs inside: the words of neighbouring outputs lie beside each other, and
  // the tables of one row range stay in the first-level cache.
  for (int64_t group = 0; group < layer.in_features / kPackGroup; ++group) {
    const float* in = x + group * kPackGroup;
    for (int64_t o = begin; o < end; ++o) {
      uint8_t indices[kPackGroup];
      UnpackGroup<bits>(words.Row(group * bits) + o, words.stride, indices);
      const float* table = layer.lookup_table + (o << bits);
      float sums[4] = {};  // four chains, or the additions wait for each other
      for (int i = 0; i < kPackGroup; i += 4) {
        for (int lane = 0; lane < 4; ++lane) sums[lane] += table[indices[i + lane]] * in[i + lane];
      }
      y[o] += (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
  }
}

}  // namespace

void LutGemv(const PackedView& layer, const float* x, int64_t begin, int64_t end, float* y) {
  if (layer.bits == 2) return Gemv<2>(layer, x, begin, end, y);
  if (layer.bits == 3) return Gemv<3>(layer, x, begin, end, y);
  Gemv<4>(layer, x, begin, end, y);
}

}  // namespace sq
