// The activation functions of MLPs.
#pragma once

#include "kernels/cuda/ptx.cuh"
#include "sq/kernels/cuda_matmul.h"

namespace sq::cuda {

template <CudaActivation function>
__device__ __forceinline__ float Apply(float x) {
  if (function == CudaActivation::kRelu) return fmaxf(x, 0.0f);
  if (function == CudaActivation::kGelu) return 0.5f * x * (1 + erff(x * 0.70710678f));
  if (function == CudaActivation::kGeluTanh) {
    constexpr float kScale = 0.79788456f;  // sqrt(2 / pi)
    return 0.5f * x * (1 + tanhf(kScale * (x + 0.044715f * x * x * x)));
  }
  return x / (1 + expf(-x));
}

__device__ inline float Gate(const CudaGating& gating, float gate, float up) {
  switch (gating.function) {
    case CudaActivation::kSilu: gate = Apply<CudaActivation::kSilu>(gate); break;
    case CudaActivation::kRelu: gate = Apply<CudaActivation::kRelu>(gate); break;
    case CudaActivation::kGelu: gate = Apply<CudaActivation::kGelu>(gate); break;
    case CudaActivation::kGeluTanh: gate = Apply<CudaActivation::kGeluTanh>(gate); break;
  }
  return up * gate * gating.scale;
}

}  // namespace sq::cuda
