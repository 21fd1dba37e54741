// Stands in for the CUDA toolkit's header of this name: see cuda_runtime.h.
#pragma once

#include "cuda_shim/cuda_runtime.h"
#include "sq/base/half.h"

struct __nv_bfloat16 {
  uint16_t bits;
  __nv_bfloat16() = default;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

inline __nv_bfloat16 __ushort_as_bfloat16(uint16_t bits) {
  __nv_bfloat16 value;
  value.bits = bits;
  return value;
}
inline uint16_t __bfloat16_as_ushort(__nv_bfloat16 value) { return value.bits; }
inline float __bfloat162float(__nv_bfloat16 value) { return sq::Bf16ToFloat(value.bits); }
inline __nv_bfloat16 __float2bfloat16(float value) {
  return __ushort_as_bfloat16(sq::FloatToBf16(value));
}
inline __nv_bfloat16 __float2bfloat16_rn(float value) { return __float2bfloat16(value); }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16(x), __float2bfloat16(y)};
}
