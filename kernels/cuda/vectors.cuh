// Several neighbouring elements at once.
#pragma once

#include "kernels/cuda/elements.cuh"
#include "sq/kernels/cuda_matmul.h"

namespace sq::cuda {

// Elements [column, column + 4) of a row; column and the matrix's stride are multiples of 4.
__device__ __forceinline__ void StoreVector(const CudaMatrix& matrix, int64_t row, int64_t column,
                                            const float4& v) {
  const int64_t at = (row * matrix.stride + column) / 4;
  switch (matrix.type) {
    case FloatType::kFloat16:
      static_cast<uint2*>(matrix.data)[at] = make_uint2(PackHalves(v.x, v.y), PackHalves(v.z, v.w));
      break;
    case FloatType::kBFloat16:
      static_cast<uint2*>(matrix.data)[at] =
          make_uint2(PackBFloats(v.x, v.y), PackBFloats(v.z, v.w));
      break;
    case FloatType::kFloat32: static_cast<float4*>(matrix.data)[at] = v; break;
  }
}

__device__ __forceinline__ float4 LoadVector(const CudaMatrix& fp32, int64_t row, int64_t column) {
  return static_cast<const float4*>(fp32.data)[(row * fp32.stride + column) / 4];
}

// 8 fp16 values, the lower halves of words first.
__device__ __forceinline__ void HalvesToFloats(const uint4& words, float (&values)[8]) {
  const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = __half2float(__ushort_as_half(static_cast<uint16_t>(word[i])));
    values[2 * i + 1] = __half2float(__ushort_as_half(static_cast<uint16_t>(word[i] >> 16)));
  }
}

}  // namespace sq::cuda
