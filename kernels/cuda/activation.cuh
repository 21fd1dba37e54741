// The activation functions of MLPs.
#pragma once

#include "kernels/cuda/ptx.cuh"
#include "sq/kernels/cuda_matmul.h"

namespace sq::cuda {

template <Activation function>
__device__ __forceinline__ float Apply(float x) {
  if (function == Activation::kRelu) return fmaxf(x, 0.0f);
  if (function == Activation::kGelu) return 0.5f * x * (1 + erff(x * 0.70710678f));
  if (function == Activation::kGeluTanh) {
    constexpr float kScale = 0.79788456f;  // sqrt(2 / pi)
    return 0.5f * x * (1 + tanhf(kScale * (x + 0.044715f * x * x * x)));
  }
  return x / (1 + expf(-x));
}

__device__ inline float Gate(const CudaGating& gating, float gate, float up) {
  switch (gating.function) {
    case Activation::kSilu: gate = Apply<Activation::kSilu>(gate); break;
    case Activation::kRelu: gate = Apply<Activation::kRelu>(gate); break;
    case Activation::kGelu: gate = Apply<Activation::kGelu>(gate); break;
    case Activation::kGeluTanh: gate = Apply<Activation::kGeluTanh>(gate); break;
  }
  return up * gate * gating.scale;
}

}  // namespace sq::cuda
