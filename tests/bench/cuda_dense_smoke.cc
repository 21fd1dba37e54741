// Where the benchmark is only to show that it runs (bench_cuda_matmul --smoke on the emulated
// device): the library's own dense product alone, on zeros.
#include "tests/bench/cuda_dense.h"

namespace sq::bench {

DenseCopies::DenseCopies(int64_t out_, int64_t in_, int64_t) : out(out_), in(in_) {
  all.emplace_back(std::vector<uint16_t>(static_cast<size_t>(out * in), 0), "weights");
}

Timing TimeDense(int calls, int replays, const DenseCopies& copies, const uint16_t* x,
                 int64_t tokens) {
  const cuda::Buffer<float> y(tokens * copies.out, "y");
  cuda::Gemm gemm;
  return Time(calls, replays, [&](int, cudaStream_t stream) {
    MultiplyDense(&gemm, x, tokens, copies.in, copies.all[0].data(), copies.out, y.data(), stream);
  });
}

}  // namespace sq::bench
