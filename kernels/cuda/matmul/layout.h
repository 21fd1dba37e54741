// How a packed layer lies in device memory, for loads of 128 bits by whole warps. Shared by the
// host, which repacks, and the device. Rows are padded to 64, inputs to 256, with codes of 0
// against x of 0.
//
// Tiles of 16 rows, units of 256 inputs, in the order of the fragments of mma.m16n8k16:
//   codes [out/16][in/256][bits][lane 32][4 words]; lane 4g+q holds rows g and g+8
// The 4 * bits words of a lane are those of 4 groups of 64 inputs, one after the other. A group has
// 4 steps of 16 inputs; byte b of a step is the pair of codes of row g + 8 (b % 2) for inputs
//   64 group + 32 (step / 2) + 8q + 4 (step % 2) + 2 (b / 2) + {0, 1}
// the first code in the lower bits.
//   4 bits: word s of the group is step s.
//   3 bits (and 2, in 3): the lower 6 bits of the bytes of words 0, 1, 2 are steps 0, 1, 2; the
//   upper 2 are bits 0..1, 2..3 and 4..5 of step 3.
//
// Outliers of a tile and unit, in the order of their columns, lie in octets, the last filled up
// with values of 0, for mma.m16n8k8 with an inner index that counts the octet's outliers:
//   octets [octet][quad 4][values, places]; quad q has outliers 2q and 2q+1 in the halves of words
// Values are fp16, divided by the row's scale; places are described below.
#pragma once

#include <cstdint>

#include "kernels/cuda/runtime.h"

namespace sq::cuda {

constexpr int kTileRows = 16;
constexpr int kGroupInputs = 64;
constexpr int kSteps = 4;         // of a group
constexpr int kUnitInputs = 256;  // that the work is divided by
constexpr int kUnitGroups = kUnitInputs / kGroupInputs;
constexpr int64_t kPaddedRows = 64;  // rows are padded to multiples of it

constexpr int kOctet = 8;  // outliers
constexpr int kOctetWords = 8;
constexpr int kOctetBytes = kOctetWords * 4;

// Where in its tile and unit an outlier is: bits 0..2 are row % 8, bits 3..4 the group, bit 7 is
// row / 8, bits 8..15 are the input.
constexpr uint32_t OutlierPlace(uint32_t row, uint32_t input) {
  return row % 8 | input / kGroupInputs << 3 | row / 8 << 7 | input << 8;
}
constexpr uint32_t OutlierRow(uint32_t place) { return place % 8 + (place >> 7 & 1) * 8; }
constexpr uint32_t OutlierInput(uint32_t place) { return place >> 8 & 255; }

// x is multiplied by this before it is rounded to fp16, so that activations up to 4e6 fit.
constexpr float kInputScale = 1.0f / 64;

// A layer in device memory, as kernels take it.
struct LayerView {
  int code_bits;         // 3 or 4: of the layout
  int32_t rows, inputs;  // true sizes
  int32_t padded_rows, padded_inputs;
  const uint32_t* codes;
  const uint16_t* table;       // [padded_rows][2^code_bits], fp16, divided by the row's scale
  const float* row_scale;      // [padded_rows], powers of two
  const int32_t* octet_begin;  // [tiles * units + 1]: first of each; null: no sparse part
  const uint32_t* octets;
  const float* bias;  // [rows] or null
};

// Index into `codes`, in words, of the first 4 words of a lane for a tile and unit; the next 4 lie
// 4 * kLanes further on.
constexpr int64_t CodeWords(int bits, int64_t padded_inputs, int64_t tile, int64_t unit, int lane) {
  return ((tile * (padded_inputs / kUnitInputs) + unit) * bits * kLanes + lane) * 4;
}
// The same for word `word` of the lane's 4 * bits.
constexpr int64_t CodeWord(int bits, int64_t padded_inputs, int64_t tile, int64_t unit, int lane,
                           int word) {
  return CodeWords(bits, padded_inputs, tile, unit, lane) + word / 4 * 4 * kLanes + word % 4;
}

// Where the code of a row and input is: a pair of a step of a group of a lane.
struct CodePlace {
  int64_t tile, unit;
  int lane, group, step, byte;
  bool upper;  // of the pair
};
constexpr CodePlace PlaceOf(int64_t row, int64_t k) {
  const int in_tile = static_cast<int>(row % kTileRows),
            in_unit = static_cast<int>(k % kUnitInputs);
  return {row / kTileRows,
          k / kUnitInputs,
          in_tile % 8 * 4 + in_unit % 32 / 8,
          in_unit / kGroupInputs,
          in_unit % kGroupInputs / 32 * 2 + in_unit % 8 / 4,
          in_unit % 4 / 2 * 2 + in_tile / 8,
          in_unit % 2 != 0};
}

}  // namespace sq::cuda
