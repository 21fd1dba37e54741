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
  CudaType type = CudaType::kFloat16;
  int64_t rows = 0, cols = 0;
  CudaMatrix View() const { return {values.data(), type, rows, cols}; }
};

// Linear layers of one input whose outputs lie side by side, such as query, key and value: as few
// matrices as bits and types allow.
struct LinearPart {
  std::unique_ptr<CudaLayer> packed;  // or dense
  DenseMatrix dense;
  Buffer<float> bias;  // of a dense one, or none
  int64_t first = 0;   // column of the output
  int64_t rows = 0;
};
struct LinearGroup {
  std::vector<LinearPart> parts;
  CudaType input = CudaType::kFloat16;  // what its input is rounded to
  int64_t rows = 0, cols = 0;
  bool gated = false;  // gate and up, packed and interleaved: CudaGating
};

// y = group(x * x_scale), or y += it, queued.
struct Products {
  const Queue& queue;
  const CudaContext& context;
  Gemm& gemm;
};
void Multiply(const Products& by, const LinearGroup& group, const CudaMatrix& x,
              const CudaMatrix& y, bool add, float x_scale);

struct NormWeights {
  Buffer<float> weight, bias;
};

struct ModelLayer {
  LinearGroup qkv, attention_out, gate_up, down;
  bool gated = false;
  NormWeights attention_norm, mlp_norm, query_norm, key_norm;
  int64_t attention_window = 0;
};

}  // namespace sq::cuda

struct sq::CudaModel::State {
  CudaModelShape shape;
  std::vector<cuda::ModelLayer> layers;
  cuda::DenseMatrix embedding, positions;
  cuda::NormWeights norm;
  std::unique_ptr<cuda::LinearGroup> head;  // null: the embedding is the head
  int64_t bytes = 0;
};
