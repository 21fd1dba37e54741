// Where the benchmark is only to show that it runs (cuda_matmul --smoke on the emulated device):
// the library's own dense product alone, on zeros.
#include "tests/bench/cuda_dense.h"

namespace sq::bench {

Timing TimeDense(int calls, int replays, int64_t, const uint16_t* x, int64_t tokens, int64_t out,
                 int64_t in) {
  const cuda::Buffer<uint16_t> w(std::vector<uint16_t>(static_cast<size_t>(out * in), 0),
                                 "weights");
  const cuda::Buffer<float> y(tokens * out, "y");
  cuda::Gemm gemm;
  return Time(calls, replays, [&](int, cudaStream_t stream) {
    MultiplyDense(&gemm, x, tokens, in, w.data(), out, y.data(), stream);
  });
}

}  // namespace sq::bench
