// The bit layout of packed indices. No other file depends on it.
//
// The indices of 32 consecutive inputs of one output channel (a group) fill `bits` 32-bit words,
// lowest bit first: index i of the group occupies bits [i*bits, (i+1)*bits). At 3 bits, indices 10
// and 21 of each group straddle two words. Word w of a group is stored contiguously for all output
// channels:
//
//   indices [out][in]  ->  qweight [in/32*bits][out]
//
// This is the layout of the original's `qweight` tensors (SqueezeLLM, quant.py), which are used as
// they are on disk.
#pragma once

#include <cstdint>
#include <string>

#include "sq/base/matrix_view.h"

namespace sq {

constexpr int64_t kPackGroup = 32;  // inputs per group
constexpr int kMinBits = 2;
constexpr int kMaxBits = 4;

// Rows of qweight for `in_features` inputs. Throws sq::Error, naming `what`, unless bits is 2, 3 or
// 4 and in_features is a positive multiple of 32.
int64_t PackedWords(int bits, int64_t in_features, const std::string& what);

// Packs `count` output channels. indices: [count][in] bytes, each < 2^bits; qweight: a view
// [in/32*bits][count] whose stride is the number of outputs of the whole matrix.
void PackIndices(int bits, MatrixView<const uint8_t> indices, MatrixView<uint32_t> qweight);

// The inverse: qweight [in/32*bits][count] -> indices [count][in].
void UnpackIndices(int bits, MatrixView<const uint32_t> qweight, MatrixView<uint8_t> indices);

// Unpacks one group, `bits` words at a distance of `stride`, to 32 indices.
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
