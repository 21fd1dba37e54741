// The packed form of indices: which bit of which word holds index j. Nothing else knows it.
//
// 32 consecutive inputs of one output channel fill `bits` 32-bit words, lowest bit first: index i
// of the 32 occupies bits [i*bits, (i+1)*bits) of the group. At 3 bits, indices 10 and 21 of each
// 32 straddle two words. Words of one input group lie together, all outputs beside each other:
//
//   indices [out][in]  ->  qweight [in/32*bits][out]
//
// the layout of the original's `qweight` tensors (SqueezeLLM, quant.py), so that they are read as
// they lie on disk.
#pragma once

#include <cstdint>

#include "sq/base/matrix_view.h"

namespace sq {

constexpr int64_t kPackGroup = 32;  // inputs packed together
constexpr int kMinBits = 2;
constexpr int kMaxBits = 4;

// Rows of qweight for `in_features` inputs. Throws sq::Error, naming `what`, unless bits is 2, 3 or
// 4 and in_features is a positive multiple of 32.
int64_t PackedWords(int bits, int64_t in_features, const char* what);

// Packs `count` output channels. indices: [count][in] bytes, each < 2^bits; qweight: a view
// [in/32*bits][count] whose stride is the number of outputs of the whole matrix.
void PackIndices(int bits, MatrixView<const uint8_t> indices, MatrixView<uint32_t> qweight);

// The inverse: qweight [in/32*bits][count] -> indices [count][in].
void UnpackIndices(int bits, MatrixView<const uint32_t> qweight, MatrixView<uint8_t> indices);

// Unpacks one group: `words` holds bits words `stride` apart; writes 32 indices.
template <int bits>
inline void UnpackGroup(const uint32_t* words, int64_t stride, uint8_t* indices) {
  static_assert(bits >= kMinBits && bits <= kMaxBits, "indices of 2, 3 or 4 bits");
  constexpr uint64_t kMask = (1u << bits) - 1;
  for (int i = 0; i < kPackGroup; ++i) {
    const int bit = i * bits;
    const int word = bit / 32, shift = bit % 32;
    uint64_t pair = words[word * stride];
    if (shift + bits > 32) pair |= static_cast<uint64_t>(words[(word + 1) * stride]) << 32;
    indices[i] = static_cast<uint8_t>((pair >> shift) & kMask);
  }
}

}  // namespace sq
