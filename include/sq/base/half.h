// IEEE fp16 and bfloat16 to and from fp32, a run of values at a time. Storage is uint16_t.
#pragma once

#include <cstdint>

namespace sq {

// Exact; subnormals, infinities and NaN included.
float Fp16ToFloat(uint16_t value);
float Bf16ToFloat(uint16_t value);

// Round to nearest, ties to even. Overflow gives infinity; NaN stays NaN (quiet).
uint16_t FloatToFp16(float value);
uint16_t FloatToBf16(float value);

// The same over `count` values; the buffers may not overlap.
void Fp16ToFloat(const uint16_t* in, float* out, int64_t count);
void Bf16ToFloat(const uint16_t* in, float* out, int64_t count);
void FloatToFp16(const float* in, uint16_t* out, int64_t count);
void FloatToBf16(const float* in, uint16_t* out, int64_t count);

}  // namespace sq
