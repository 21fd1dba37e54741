// The algorithm of the original's kernels (SqueezeLLM, quant_cuda_kernel.cu), written anew as the
// baseline of bench_cuda_matmul.cu: a thread an output, its table fp32 in shared memory, word by
// word, a block 128 inputs x 128 outputs, so that a sum is spread over in / 128 blocks and added up
// by fp32 atomics; the sparse part by a second kernel, a thread a row; y set to zero before. Inputs
// and outputs are multiples of 128. x and y fp32, one token.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/runtime.h"
#include "sq/packed/packed_layer.h"

namespace sq::bench {

constexpr int kSeedBlock = 128;

template <int kBits>
__global__ void SeedGemvKernel(const uint32_t* words, const float* tables, const float* x, float* y,
                               int out) {
  __shared__ float table[1 << kBits][kSeedBlock];
  __shared__ float inputs[kSeedBlock];
  const int thread = static_cast<int>(threadIdx.x);
  const int column = static_cast<int>(blockIdx.y) * kSeedBlock + thread;
  const int first = static_cast<int>(blockIdx.x) * kSeedBlock;
  for (int value = 0; value < 1 << kBits; ++value)
    table[value][thread] = tables[(column << kBits) + value];
  inputs[thread] = x[first + thread];
  __syncthreads();
  float sum = 0;
  for (int group = 0; group < kSeedBlock / 32; ++group) {
    uint64_t bits = 0;
    int held = 0, word = (first / 32 + group) * kBits;
    for (int k = 0; k < 32; ++k) {
      if (held < kBits) {
        bits |= static_cast<uint64_t>(words[static_cast<int64_t>(word++) * out + column]) << held;
        held += 32;
      }
      sum += table[bits & ((1 << kBits) - 1)][thread] * inputs[group * 32 + k];
      bits >>= kBits;
      held -= kBits;
    }
  }
  atomicAdd(&y[column], sum);
}

__global__ void SeedSpmvKernel(const int32_t* row_ptr, const int32_t* columns, const float* values,
                               const float* x, float* y, int rows) {
  const int row = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (row >= rows) return;
  float sum = 0;
  for (int32_t e = row_ptr[row]; e < row_ptr[row + 1]; ++e) sum += values[e] * x[columns[e]];
  atomicAdd(&y[row], sum);
}

struct SeedLayer {
  int bits = 0, out = 0, in = 0;
  cuda::Buffer<uint32_t> words;
  cuda::Buffer<float> tables, values;
  cuda::Buffer<int32_t> row_ptr, columns;

  explicit SeedLayer(const PackedLayer& layer)
      : bits(layer.bits),
        out(static_cast<int>(layer.out_features)),
        in(static_cast<int>(layer.in_features)),
        words(layer.qweight, "words"),
        tables(layer.lookup_table, "tables") {
    if (layer.outliers.Empty()) return;
    values = cuda::Buffer<float>(layer.outliers.vals, "values");
    row_ptr = cuda::Buffer<int32_t>(layer.outliers.row_ptr, "rows");
    columns = cuda::Buffer<int32_t>(layer.outliers.cols, "columns");
  }
};

inline void SeedGemv(const SeedLayer& layer, const float* x, float* y, cudaStream_t stream) {
  cuda::Check(cudaMemsetAsync(y, 0, static_cast<size_t>(layer.out) * sizeof(float), stream),
              "zero");
  cuda::LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(layer.in / kSeedBlock),
                    static_cast<unsigned>(layer.out / kSeedBlock));
  shape.block = dim3(kSeedBlock);
  const auto kernel = layer.bits == 4 ? SeedGemvKernel<4> : SeedGemvKernel<3>;
  cuda::Launch("seed GEMV", shape, stream, kernel, layer.words.data(), layer.tables.data(), x, y,
               layer.out);
  if (layer.values.count() == 0) return;
  shape.grid = dim3(static_cast<unsigned>(layer.out / kSeedBlock));
  cuda::Launch("seed SpMV", shape, stream, SeedSpmvKernel, layer.row_ptr.data(),
               layer.columns.data(), layer.values.data(), x, y, layer.out);
}

}  // namespace sq::bench
