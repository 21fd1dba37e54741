#include "tests/bench/cuda_dense.h"

#include <cublas_v2.h>

#include <random>

#include "sq/base/half.h"

namespace sq::bench {
namespace {

void CheckBlas(cublasStatus_t status) {
  SQ_CHECK(status == CUBLAS_STATUS_SUCCESS, "cuBLAS: ", cublasGetStatusString(status));
}

}  // namespace

DenseCopies::DenseCopies(int64_t out_, int64_t in_, int64_t rotated_bytes) : out(out_), in(in_) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 0.02f);
  std::vector<uint16_t> values(1 << 16);
  for (uint16_t& value : values) value = FloatToFp16(normal(random));
  const int64_t count = out * in;
  std::vector<uint16_t> host(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    host[i] = values[static_cast<size_t>(i * 40503 >> 3) & 0xffff];
  for (int64_t used = 0; used == 0 || used < rotated_bytes; used += 2 * count)
    all.emplace_back(host, "weights");
}

Timing TimeDense(int calls, int replays, const DenseCopies& copies, const uint16_t* x,
                 int64_t tokens) {
  const int64_t out = copies.out, in = copies.in;
  const cuda::Buffer<uint16_t> y16(tokens * out, "y");
  const cuda::Buffer<float> y32(tokens * out, "y");
  const auto weights = [&](int i) {
    return copies.all[static_cast<size_t>(i) % copies.all.size()].data();
  };

  cublasHandle_t handle;
  CheckBlas(cublasCreate(&handle));
  const float one = 1, zero = 0;
  const auto by_gemm_ex = [&](void* y, cudaDataType_t type) {
    return Time(calls, replays, [&](int i, cudaStream_t stream) {
      CheckBlas(cublasSetStream(handle, stream));
      CheckBlas(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, static_cast<int>(out),
                             static_cast<int>(tokens), static_cast<int>(in), &one, weights(i),
                             CUDA_R_16F, static_cast<int>(in), x, CUDA_R_16F, static_cast<int>(in),
                             &zero, y, type, static_cast<int>(out), CUBLAS_COMPUTE_32F,
                             CUBLAS_GEMM_DEFAULT));
    });
  };
  cuda::Gemm lt;
  const Timing by_lt = Time(calls, replays, [&](int i, cudaStream_t stream) {
    MultiplyDense(&lt, x, tokens, in, weights(i), out, y32.data(), stream);
  });
  Timing best = by_lt;
  for (const Timing& other :
       {by_gemm_ex(y16.data(), CUDA_R_16F), by_gemm_ex(y32.data(), CUDA_R_32F)}) {
    if (other.seconds < best.seconds) best = other;
  }
  CheckBlas(cublasDestroy(handle));
  return best;
}

}  // namespace sq::bench
