// How a packed layer lies in device memory, for loads of 128 bits by whole warps. Shared by the
// host, which repacks, and the device. Rows are padded to 64, inputs to 256, with codes of 0
// against x of 0.
//
// Tiles of 32 rows, units of 256 inputs:
//   codes [out/32][in/256][2 * bits][lane 32][4 words]
// A unit has 8 groups of 32 inputs, a group 4 steps of 8 inputs, and lane 4g+q has step s of row
//   4g + (q + s) % 4
// so that a step's inputs meet each row of a quad of lanes in another lane (products_of_rows.cuh
// tells what for). Byte b of a step is the pair of codes for inputs 32 group + 8 s + 2b + {0, 1}, a
// nibble each, the first in the lower.
//   4 bits: a chunk, the lane's 4 words, is a group, word s its step s.
//   3 bits (and 2, in 3): of four groups, 0 to 2 have a chunk each, the lower 3 bits of the nibbles
//   of word s their step s; the upper bits there are bits 0, 1 and 2 of group 3's step s.
//
// Outliers of a tile and unit, in the order of their columns, lie in packs of two octets, the last
// filled up with values of 0, for products whose inner index counts an octet's outliers:
//   packs [pack][quad 4][octet 2][values, places]; quad q has outliers 2q and 2q+1 of each octet in
//   the halves of words
// Values are fp16, divided by the row's scale; places are described below.
#pragma once

#include <cstdint>

#include "kernels/cuda/runtime.h"

namespace sq::cuda {

constexpr int kTileRows = 32;
constexpr int kGroupInputs = 32;
constexpr int kSteps = 4;         // of a group
constexpr int kUnitInputs = 256;  // that the work is divided by
constexpr int kUnitGroups = kUnitInputs / kGroupInputs;
constexpr int64_t kPaddedRows = 64;  // rows are padded to multiples of it

constexpr int kOctet = 8;  // outliers
constexpr int kPack = 2 * kOctet;
constexpr int kPackWords = 16;
constexpr int kPackBytes = kPackWords * 4;

// Where in its tile and unit an outlier is: bits 0..2 are row / 4, bits 3..4 input / 64, bits
// 6..7 row % 4, bits 8..15 are the input.
constexpr int kPlaceInputs = 64;
constexpr uint32_t OutlierPlace(uint32_t row, uint32_t input) {
  return row / 4 | input / kPlaceInputs << 3 | row % 4 << 6 | input << 8;
}
constexpr uint32_t OutlierRow(uint32_t place) { return place % 8 * 4 + (place >> 6 & 3); }
constexpr uint32_t OutlierInput(uint32_t place) { return place >> 8 & 255; }
// The first of the two words of outlier `outlier` among all, and its bits' first in both.
constexpr int64_t OutlierWord(int64_t outlier) {
  return outlier / kPack * kPackWords + outlier % kOctet / 2 * 4 + outlier % kPack / kOctet * 2;
}
constexpr int OutlierShift(int64_t outlier) { return static_cast<int>(outlier % 2 * 16); }

// x is multiplied by this before it is rounded to fp16, so that activations up to 4e6 fit.
constexpr float kInputScale = 1.0f / 64;

// A layer in device memory, as kernels take it.
struct LayerView {
  int code_bits;         // 3 or 4: of the layout
  int32_t rows, inputs;  // true sizes
  int32_t padded_rows, padded_inputs;
  const uint32_t* codes;
  const uint16_t* table;      // [padded_rows][2^code_bits], fp16, divided by the row's scale
  const float* row_scale;     // [padded_rows], powers of two
  const int32_t* pack_begin;  // [tiles * units + 1]: first of each; null: no sparse part
  const uint32_t* packs;
  const float* bias;  // [rows] or null
};

// Index into `codes`, in words, of the first 4 words of a lane for a tile and unit; the next 4 lie
// 4 * kLanes further on.
constexpr int64_t CodeWords(int bits, int64_t padded_inputs, int64_t tile, int64_t unit, int lane) {
  return ((tile * (padded_inputs / kUnitInputs) + unit) * 2 * bits * kLanes + lane) * 4;
}

// The chunk of a unit that a group has; of one that has none, the first of the three with its bits.
constexpr bool HasChunk(int bits, int group) { return bits == 4 || group % 4 < 3; }
constexpr int ChunkOf(int bits, int group) {
  return bits == 4 ? group : group / 4 * 3 + (HasChunk(bits, group) ? group % 4 : 0);
}

// The row of the tile that a lane has at a step.
constexpr int RowOfStep(int lane, int step) { return lane / 4 * 4 + (lane + step) % 4; }

// Where the code of a row and input is: the lower bits of the nibble at `shift` of word `word` of
// `codes`. Of a group without a chunk: bit i is the nibble's upper bit, i chunks further on.
struct CodePlace {
  int64_t word;
  int shift;
  bool has_chunk;
};
constexpr int kChunkWords = 4 * kLanes;  // from a lane's chunk to its next
constexpr CodePlace PlaceOf(int bits, int64_t padded_inputs, int64_t row, int64_t k) {
  const int in_tile = static_cast<int>(row % kTileRows),
            in_unit = static_cast<int>(k % kUnitInputs);
  const int group = in_unit / kGroupInputs, step = in_unit % kGroupInputs / 8,
            lane = in_tile / 4 * 4 + (in_tile + kSteps - step) % kSteps;
  return {CodeWords(bits, padded_inputs, row / kTileRows, k / kUnitInputs, lane) +
              ChunkOf(bits, group) * kChunkWords + step,
          in_unit % 8 * 4, HasChunk(bits, group)};
}

}  // namespace sq::cuda
