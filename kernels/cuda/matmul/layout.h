// Layout of a packed layer in device memory, made for 128-bit loads by whole warps. The host writes
// it (repack.cc) and the kernels read it. Rows are padded to 64 and inputs to 256, with indices of
// 0 that meet inputs of 0.
//
// Indices are stored by tile of 32 rows and K-tile of 256 inputs:
//   indices [out/32][in/256][2 * bits][lane 32][4 words]
// A K-tile has 8 K-steps of 32 inputs, a K-step 4 slices of 8 inputs. In slice s, lane 4g + q holds
// row
//   4g + (q + s) % 4
// so the inputs of a slice meet each row of a quad (PTX's word for four adjacent lanes) in a
// different lane; products_of_rows.cuh explains why. Byte b of a slice holds the pair of indices
// for inputs 32 * K-step + 8 s + 2b + {0, 1}, one per nibble, the first in the lower one. A vector
// is the 4 words (16 bytes) that one load of a lane brings.
//   4 bits: each K-step has a vector, whose word s is slice s.
//   3 bits (2 bits are stored as 3): of four K-steps, 0 to 2 have a vector each, with slice s in
//   the lower 3 bits of the nibbles of word s. The upper bits of these nibbles in the three vectors
//   are bits 0, 1 and 2 of slice s of K-step 3.
//
// Outliers are stored in blocks of 16 (blocked COO), by tile and K-tile and in the order of their
// columns; the last block of each is filled up with zeros. A block has two halves of 8 outliers,
// the K extent of an m16n8k8 product:
//   outlier_blocks [block][quad lane q 4][half 2][values, positions]
// q has outliers 2q and 2q + 1 of each half, in the two halves of a word. Values are fp16, divided
// by the row's scale; OutlierPosition packs the row and the input.
#pragma once

#include <cstdint>

#include "kernels/cuda/runtime.h"

namespace sq::cuda {

constexpr int kTileRows = 32;
constexpr int kStepInputs = 32;
constexpr int kStepSlices = 4;    // of a K-step
constexpr int kTileInputs = 256;  // that the work is divided by
constexpr int kTileSteps = kTileInputs / kStepInputs;
constexpr int64_t kPaddedRows = 64;  // rows are padded to multiples of it

constexpr int kHalfBlock = 8;  // outliers
constexpr int kOutlierBlock = 2 * kHalfBlock;
constexpr int kOutlierBlockWords = 16;
constexpr int kOutlierBlockBytes = kOutlierBlockWords * 4;

// Where in its tile and K-tile an outlier is: bits 0..2 are row / 4, bits 3..4 input / 64, bits
// 6..7 row % 4, bits 8..15 are the input.
constexpr int kPositionInputs = 64;
constexpr uint32_t OutlierPosition(uint32_t row, uint32_t input) {
  return row / 4 | input / kPositionInputs << 3 | row % 4 << 6 | input << 8;
}
constexpr uint32_t OutlierRow(uint32_t position) { return position % 8 * 4 + (position >> 6 & 3); }
constexpr uint32_t OutlierInput(uint32_t position) { return position >> 8 & 255; }
// The first of the two words of outlier `outlier` among all, and its bits' first in both.
constexpr int64_t OutlierWord(int64_t outlier) {
  return outlier / kOutlierBlock * kOutlierBlockWords + outlier % kHalfBlock / 2 * 4 +
         outlier % kOutlierBlock / kHalfBlock * 2;
}
constexpr int OutlierShift(int64_t outlier) { return static_cast<int>(outlier % 2 * 16); }

// x is multiplied by this before it is rounded to fp16, so that activations up to 4e6 fit.
constexpr float kInputScale = 1.0f / 64;

// A layer in device memory, as kernels take it.
struct LayerView {
  int index_bits;        // 3 or 4: of the layout
  int32_t rows, inputs;  // true sizes
  int32_t padded_rows, padded_inputs;
  const uint32_t* indices;
  const uint16_t* table;         // [padded_rows][2^index_bits], fp16, divided by the row's scale
  const float* row_scale;        // [padded_rows], powers of two
  const int32_t* outlier_begin;  // [tiles * K-tiles + 1]: first of each; null: no sparse part
  const uint32_t* outlier_blocks;
  const float* bias;  // [rows] or null
};

// Index into `indices`, in words, of the first 4 words of a lane for a tile and K-tile; the next 4
// lie 4 * kLanes further on.
constexpr int64_t IndexWords(int bits, int64_t padded_inputs, int64_t tile, int64_t k_tile,
                             int lane) {
  return ((tile * (padded_inputs / kTileInputs) + k_tile) * 2 * bits * kLanes + lane) * 4;
}

// The vector of a K-tile that a K-step has; of one that has none, the first of the three with its
// bits.
constexpr bool HasVector(int bits, int k_step) { return bits == 4 || k_step % 4 < 3; }
constexpr int VectorOf(int bits, int k_step) {
  return bits == 4 ? k_step : k_step / 4 * 3 + (HasVector(bits, k_step) ? k_step % 4 : 0);
}

// The row of the tile that a lane has at a slice.
constexpr int RowOfSlice(int lane, int slice) { return lane / 4 * 4 + (lane + slice) % 4; }

// Where the index of a row and input is: the lower bits of the nibble at `shift` of word `word` of
// `indices`. Of a K-step without a vector: bit i is the nibble's upper bit, i vectors further on.
struct IndexPosition {
  int64_t word;
  int shift;
  bool has_vector;
};
constexpr int kVectorWords = 4 * kLanes;  // from a lane's vector to its next
constexpr IndexPosition IndexPositionOf(int bits, int64_t padded_inputs, int64_t row, int64_t k) {
  const int in_tile = static_cast<int>(row % kTileRows),
            in_k_tile = static_cast<int>(k % kTileInputs);
  const int k_step = in_k_tile / kStepInputs, slice = in_k_tile % kStepInputs / 8,
            lane = in_tile / 4 * 4 + (in_tile + kStepSlices - slice) % kStepSlices;
  return {IndexWords(bits, padded_inputs, row / kTileRows, k / kTileInputs, lane) +
              VectorOf(bits, k_step) * kVectorWords + slice,
          in_k_tile % 8 * 4, HasVector(bits, k_step)};
}

}  // namespace sq::cuda
