// Stands in for the CUDA toolkit's header of this name: see cuda_runtime.h.
#pragma once

#include "cuda_shim/cuda_runtime.h"
#include "sq/base/half.h"

struct __half {
  uint16_t bits;
  __half() = default;
};
struct alignas(4) __half2 {
  __half x, y;
};
using half = __half;
using half2 = __half2;

inline __half __ushort_as_half(uint16_t bits) {
  __half value;
  value.bits = bits;
  return value;
}
inline uint16_t __half_as_ushort(__half value) { return value.bits; }
inline float __half2float(__half value) { return sq::Fp16ToFloat(value.bits); }
inline __half __float2half(float value) { return __ushort_as_half(sq::FloatToFp16(value)); }
inline __half __float2half_rn(float value) { return __float2half(value); }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half(x), __float2half(y)}; }
inline float2 __half22float2(__half2 value) {
  return {__half2float(value.x), __half2float(value.y)};
}
