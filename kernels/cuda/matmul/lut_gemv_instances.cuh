// The launch of a LUT-GEMV kernel: lut_gemv_3bit.cu and lut_gemv_4bit.cu have the instances.
#pragma once

#include "kernels/cuda/matmul/lut_gemv.cuh"

namespace sq::cuda {

template <int kBits, int kTokens, int kWarps, bool kOfRows, bool kNormed>
void LutGemvInstance(const GemvArguments& arguments, dim3 grid, bool overlap, cudaStream_t stream) {
  using Shape = GemvShape<kBits, kTokens, kWarps, kOfRows, kNormed>;
  LaunchShape shape;
  shape.grid = grid;
  shape.block = dim3(Shape::kThreads);
  shape.shared_bytes = Shape::kBytes;
  shape.overlap = overlap;
  shape.most_shared = true;
  Launch("LUT-GEMV", shape, stream, LutGemvKernel<kBits, kTokens, kWarps, kOfRows, kNormed>,
         arguments);
}

}  // namespace sq::cuda
