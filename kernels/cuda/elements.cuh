// Elements of a CudaMatrix as fp32, whatever its type.
#pragma once

#include "kernels/cuda/ptx.cuh"
#include "sq/kernels/cuda_matmul.h"

namespace sq::cuda {

// The value of fp16 bits, the lower half of a word.
__device__ inline float HalfValue(uint32_t bits) {
  return __half2float(__ushort_as_half(static_cast<uint16_t>(bits)));
}

// Two values as a word, the first in the lower half.
__device__ __forceinline__ uint32_t PackHalves(float low, float high) {
  return __half_as_ushort(__float2half_rn(low)) |
         static_cast<uint32_t>(__half_as_ushort(__float2half_rn(high))) << 16;
}
__device__ __forceinline__ uint32_t PackBFloats(float low, float high) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(low)) |
         static_cast<uint32_t>(__bfloat16_as_ushort(__float2bfloat16_rn(high))) << 16;
}

__device__ inline float LoadElement(const CudaMatrix& matrix, int64_t row, int64_t column) {
  const int64_t at = row * matrix.stride + column;
  switch (matrix.type) {
    case FloatType::kFloat16: return __half2float(static_cast<const __half*>(matrix.data)[at]);
    case FloatType::kBFloat16:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(matrix.data)[at]);
    case FloatType::kFloat32: return static_cast<const float*>(matrix.data)[at];
  }
  return 0;
}

__device__ inline void StoreElement(const CudaMatrix& matrix, int64_t row, int64_t column,
                                    float value) {
  const int64_t at = row * matrix.stride + column;
  switch (matrix.type) {
    case FloatType::kFloat16: static_cast<__half*>(matrix.data)[at] = __float2half_rn(value); break;
    case FloatType::kBFloat16:
      static_cast<__nv_bfloat16*>(matrix.data)[at] = __float2bfloat16_rn(value);
      break;
    case FloatType::kFloat32: static_cast<float*>(matrix.data)[at] = value; break;
  }
}

}  // namespace sq::cuda
