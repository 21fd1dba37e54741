// cuBLAS's fp16 product of the same shape, at its best.
#pragma once

#include "kernels/cuda/kernels.h"
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

// y [tokens][out] = x [tokens][in] * w^T over copies of w of rotated_bytes in all, random values;
// the fastest of cublasGemmEx and of cuBLASLt's choices, with fp16 and with fp32 results.
Timing TimeDense(int calls, int replays, int64_t rotated_bytes, const uint16_t* x, int64_t tokens,
                 int64_t out, int64_t in);

}  // namespace sq::bench
