#include "sq/packed/bit_pack.h"

namespace sq {
namespace {

template <int bits>
void Pack(MatrixView<const uint8_t> indices, MatrixView<uint32_t> qweight) {
  for (int64_t group = 0; group < indices.cols / kPackGroup; ++group) {
    for (int64_t out = 0; out < indices.rows; ++out) {
      const uint8_t* in = indices.Row(out) + group * kPackGroup;
      uint32_t words[bits] = {};
      for (int i = 0; i < kPackGroup; ++i) {
        SQ_DCHECK(in[i] < (1 << bits));
        const int bit = i * bits;
        const int word = bit / 32, shift = bit % 32;
        words[word] |= static_cast<uint32_t>(in[i]) << shift;
        if (shift + bits > 32) words[word + 1] |= static_cast<uint32_t>(in[i]) >> (32 - shift);
      }
      for (int w = 0; w < bits; ++w) qweight.Row(group * bits + w)[out] = words[w];
    }
  }
}

template <int bits>
void Unpack(MatrixView<const uint32_t> qweight, MatrixView<uint8_t> indices) {
  for (int64_t group = 0; group < indices.cols / kPackGroup; ++group) {
    const uint32_t* words = qweight.Row(group * bits);
    for (int64_t out = 0; out < indices.rows; ++out) {
      UnpackGroup<bits>(words + out, qweight.stride, indices.Row(out) + group * kPackGroup);
    }
  }
}

}  // namespace

int64_t PackedWords(int bits, int64_t in_features, const std::string& what) {
  SQ_CHECK(bits >= kMinBits && bits <= kMaxBits, what, ": expected 2, 3 or 4 bits, found ", bits);
  SQ_CHECK(in_features > 0 && in_features % kPackGroup == 0, what,
           ": expected a multiple of 32 input features, found ", in_features);
  return in_features / kPackGroup * bits;
}

void PackIndices(int bits, MatrixView<const uint8_t> indices, MatrixView<uint32_t> qweight) {
  SQ_DCHECK(qweight.rows == PackedWords(bits, indices.cols, "PackIndices"));
  SQ_DCHECK(qweight.cols == indices.rows);
  if (bits == 2) return Pack<2>(indices, qweight);
  if (bits == 3) return Pack<3>(indices, qweight);
  Pack<4>(indices, qweight);
}

void UnpackIndices(int bits, MatrixView<const uint32_t> qweight, MatrixView<uint8_t> indices) {
  SQ_DCHECK(qweight.rows == PackedWords(bits, indices.cols, "UnpackIndices"));
  SQ_DCHECK(qweight.cols == indices.rows);
  if (bits == 2) return Unpack<2>(qweight, indices);
  if (bits == 3) return Unpack<3>(qweight, indices);
  Unpack<4>(qweight, indices);
}

}  // namespace sq
