// Conversion between fp32 and IEEE fp16 or bfloat16, one value or an array at a time. Halves are
// stored as uint16_t.
#pragma once

#include <cstdint>

namespace sq {

// Exact, including subnormals, infinities and NaN.
float Fp16ToFloat(uint16_t value);
float Bf16ToFloat(uint16_t value);

// Rounds to nearest, ties to even. Overflow gives infinity; NaN stays a quiet NaN.
uint16_t FloatToFp16(float value);
uint16_t FloatToBf16(float value);

// The same for arrays of `count` values, which must not overlap.
void Fp16ToFloat(const uint16_t* in, float* out, int64_t count);
void Bf16ToFloat(const uint16_t* in, float* out, int64_t count);
void FloatToFp16(const float* in, uint16_t* out, int64_t count);
void FloatToBf16(const float* in, uint16_t* out, int64_t count);

}  // namespace sq
