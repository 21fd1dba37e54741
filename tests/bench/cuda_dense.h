// cuBLAS's fp16 product of the same shape, at its best.
#pragma once

#include "tests/bench/cuda_timing.h"

namespace sq::bench {

// y [tokens][out] = x [tokens][in] * w^T over copies of w of rotated_bytes in all, random values;
// the fastest of cublasGemmEx and of cuBLASLt's choices, with fp16 and with fp32 results.
Timing TimeDense(int calls, int replays, int64_t rotated_bytes, const uint16_t* x, int64_t tokens,
                 int64_t out, int64_t in);

}  // namespace sq::bench
