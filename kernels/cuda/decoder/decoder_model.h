// A decoder's weights in device memory, as its steps take them.
#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda/decoder/decode_kernels.h"
#include "kernels/cuda/matmul/kernels.h"
#include "sq/kernels/cuda_decoder.h"

namespace sq::cuda {

// A dense matrix [rows][cols], fp16 or bf16, on the device.
struct DenseMatrix {
  Buffer<uint16_t> values;
  FloatType type = FloatType::kFloat16;
  int64_t rows = 0, cols = 0;
  CudaMatrix View() const { return {values.data(), type, rows, cols}; }
};

// Linear layers of one input whose outputs lie side by side, such as query, key and value: as few
// matrices as bits and types allow.
struct LinearBlock {
  std::unique_ptr<CudaLayer> packed;  // or dense
  DenseMatrix dense;
  Buffer<float> bias;  // of a dense one, or none
  int64_t first = 0;   // column of the output
  int64_t rows = 0;
};
struct LinearGroup {
  std::vector<LinearBlock> parts;
  FloatType input = FloatType::kFloat16;  // what its input is rounded to
  int64_t rows = 0, cols = 0;
  bool gated = false;  // gate and up, packed and interleaved: CudaGating
};

// Where products are queued, and what with.
struct Products {
  const Queue& queue;
  const CudaContext& context;
  Gemm& gemm;
};
// y = x weight^T * scale, or y += it; y: fp32.
void MultiplyDense(const Products& by, const DenseMatrix& weight, const CudaMatrix& x,
                   const CudaMatrix& y, float scale = 1, bool accumulate = false);
// y = group(input); end.add: none, or y.
void Multiply(const Products& by, const LinearGroup& group, const Prologue& input,
              const CudaMatrix& y, const Epilogue& end = {});

struct NormWeights {
  Buffer<float> weight, bias;
};

// What one product of one token passes on to another through a norm.
struct FusedNormScratch {
  Buffer<float> weighted, squares;
  explicit FusedNormScratch(int64_t size);
};
// The norm between products by `from` and `to` as they pass it on, or none where they cannot: where
// either is dense or of several parts, or the norm has a bias.
FusedNorm FuseNorm(const LinearGroup& from, const NormWeights& norm, float epsilon,
                   const LinearGroup& to, const FusedNormScratch& place);

struct ModelLayer {
  LinearGroup qkv, attention_out, gate_up, down;
  bool gated = false;
  NormWeights attention_norm, mlp_norm, query_norm, key_norm;  // no weight: no norm
  NormWeights& Norm(NormRole role) {
    return role == NormRole::kAttention ? attention_norm
           : role == NormRole::kMlp     ? mlp_norm
           : role == NormRole::kQuery   ? query_norm
                                        : key_norm;
  }
  int64_t attention_window = 0;
};

}  // namespace sq::cuda

struct sq::CudaModel::State {
  DecoderShape shape;
  std::vector<cuda::ModelLayer> layers;
  cuda::DenseMatrix embedding, positions;
  cuda::NormWeights norm;
  std::unique_ptr<cuda::LinearGroup> head;  // null: the embedding is the head
  int64_t bytes = 0;
};
