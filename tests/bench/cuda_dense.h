// cuBLAS's fp16 product of the same shape, at its best.
#pragma once

#include "kernels/cuda/matmul/kernels.h"
#include "tests/bench/cuda_timing.h"

namespace sq::bench {

// y [tokens][out] = x [tokens][in] * w^T by the library's own dense product, without gaps between
// rows.
inline void MultiplyDense(cuda::Gemm* gemm, const uint16_t* x, int64_t tokens, int64_t in,
                          const uint16_t* w, int64_t out, float* y, cudaStream_t stream) {
  cuda::Gemm::Operands operands;
  operands.x = x;
  operands.tokens = tokens;
  operands.x_stride = in;
  operands.w = w;
  operands.rows = out;
  operands.inputs = in;
  operands.w_stride = in;
  operands.y = y;
  operands.y_stride = out;
  gemm->Multiply(operands, stream);
}

// Copies of an [out][in] fp16 matrix of random values, of rotated_bytes in all.
struct DenseCopies {
  int64_t out, in;
  std::vector<cuda::Buffer<uint16_t>> all;

  DenseCopies(int64_t out, int64_t in, int64_t rotated_bytes);
};

// y [tokens][out] = x [tokens][in] * w^T; the fastest of cublasGemmEx and of cuBLASLt's choices,
// with fp16 and with fp32 results.
Timing TimeDense(int calls, int replays, const DenseCopies& weights, const uint16_t* x,
                 int64_t tokens);

}  // namespace sq::bench
