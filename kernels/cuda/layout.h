// How a packed layer lies in device memory, for loads of 128 bits by whole warps. Shared by the
// host, which repacks, and the device. Rows are padded to 64, inputs to 256, with codes of 0
// against x of 0.
//
// 4 bits: tiles of 32 rows, a row to a lane, blocks of 32 inputs.
//   codes [out/32][in/32][lane 32][4 words]; code k of the block in bits 4k .. 4k+3 of the 128
//
// 3 bits (and 2, in 3): tiles of 16 rows, blocks of 256 inputs, in the order of the fragments of
// mma.m16n8k16.
//   codes [out/16][in/256][plane 3][lane 32][4 groups]; lane 4g+q holds rows g and g+8
//   In a group of 32 codes, planes w0 w1 w2: nibble i of w_j, bits 0..2, is code 8j+i; bit 3 of
//   nibble i of w_j is bit j of code 24+i. Codes 8j .. 8j+3 are of row g, 8j+4 .. 8j+7 of row g+8,
//   for the inputs 32 (2 group + j/2) + 8q + 4 (j%2) .. +3 of the block.
#pragma once

#include <cstdint>

namespace sq::cuda {

constexpr int64_t kRowGroup = 64;      // rows that a thread block works on
constexpr int64_t kUnit = 256;         // inputs that the work is divided by
constexpr int64_t kBlockInputs4 = 32;  // of a 128-bit load at 4 bits
constexpr int kLanes = 32;
constexpr int kGroupRows = static_cast<int>(kRowGroup), kUnitInputs = static_cast<int>(kUnit);

// x is multiplied by this before it is rounded to fp16, so that activations up to 4e6 fit.
constexpr float kInputScale = 1.0f / 64;

// A layer in device memory, as kernels take it.
struct LayerView {
  int code_bits;         // 3 or 4: of the layout
  int32_t rows, inputs;  // true sizes
  int32_t padded_rows, padded_inputs;
  const uint32_t* codes;
  const uint16_t* table;        // [padded_rows][2^code_bits], fp16, divided by the row's scale
  const float* row_scale;       // [padded_rows], powers of two
  const int32_t* sparse_begin;  // [padded_rows + 1]; null: no sparse part
  const uint32_t* sparse;       // column | fp16 value divided by the row's scale << 16
  const float* bias;            // [rows] or null
};

// Index into `codes`, in words, of the 4 words that lane `lane` reads for tile and block (and
// plane).
constexpr int64_t CodeWords4(int64_t padded_inputs, int64_t tile, int64_t block, int lane) {
  return ((tile * (padded_inputs / kBlockInputs4) + block) * kLanes + lane) * 4;
}
constexpr int64_t CodeWords3(int64_t padded_inputs, int64_t tile, int64_t block, int plane,
                             int lane) {
  return (((tile * (padded_inputs / kUnit) + block) * 3 + plane) * kLanes + lane) * 4;
}

}  // namespace sq::cuda
