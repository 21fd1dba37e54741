// The state of a CudaDecoder: its KV cache and buffers, and the stages of a step.
#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda/decoder/decode_kernels.h"
#include "kernels/cuda/decoder/decoder_model.h"
#include "kernels/cuda/matmul/kernels.h"
#include "kernels/cuda/streams.h"

namespace sq::cuda {

// Activations of the rows of one launch; none of them outlives a step.
struct RowBuffers {
  int64_t rows = 0;
  Buffer<float> hidden, qkv, gate_up;
  Buffer<uint16_t> normed, attended, activated;
};

}  // namespace sq::cuda

struct sq::CudaDecoder::State {
  std::shared_ptr<const CudaModel> model;
  int64_t batch = 0, capacity = 0, length = 0;
  int64_t max_tokens = 0;  // the capacity, or the positions that were learned if these are fewer
  bool graphs = true;
  cuda::Stream stream;
  cuda::Queue queue;
  int64_t blocks_wanted = 0;
  std::unique_ptr<CudaContext> context;
  cuda::Gemm gemm;

  std::unique_ptr<cuda::FusedNormScratch> attention_norm, mlp_norm;

  cuda::Buffer<float> cos, sin;
  std::vector<cuda::Buffer<uint16_t>> keys, values;  // by layer
  cuda::RowBuffers buffers;
  cuda::Buffer<int32_t> ids, device_length;  // ids: of a chunk
  cuda::Buffer<int32_t>
      best;  // [batch], what a step of one token reads and every step's argmax writes
  cuda::Buffer<float> logits;
  cuda::Pinned<float> host_logits;
  cuda::Pinned<int32_t> host_ids;
  cuda::Buffer<float> partial, best_values;
  cuda::Buffer<int32_t> best_ids;
  cuda::Buffer<unsigned> attention_counters, best_counters;

  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;

  ~State() {
    cudaStreamSynchronize(stream.handle);
    DropGraph();
  }
  void DropGraph() {
    if (executable != nullptr) cudaGraphExecDestroy(executable);
    if (graph != nullptr) cudaGraphDestroy(graph);
    executable = nullptr;
    graph = nullptr;
  }

  const DecoderShape& shape() const { return model->shape(); }
  int64_t QkvRows() const { return (shape().heads + 2 * shape().kv_heads) * shape().head_dim; }
  cuda::Cache CacheOf(size_t layer) const {
    return {keys[layer].data(), values[layer].data(), shape().kv_heads, capacity, shape().head_dim};
  }
  void AllocateCache();
  void AllocateEnds(const RotaryRows& rotary);
  void Reserve(int64_t tokens);
  void Multiply(const cuda::LinearGroup& group, const cuda::Prologue& input, const CudaMatrix& y,
                const cuda::Epilogue& end = {}) {
    cuda::Multiply({queue, *context, gemm}, group, input, y, end);
  }
  void RunLayer(size_t index, int64_t tokens);
  void RunMlp(const cuda::ModelLayer& layer, const cuda::Prologue& input, const CudaMatrix& hidden,
              const cuda::Epilogue& to_hidden);
  void RunHead(int64_t tokens);
  void Run(int32_t* fed, int64_t tokens, bool head);
  void RunOne();
  void Capture();
  void Send(const std::vector<std::vector<int32_t>>& given, size_t first, int64_t tokens,
            int32_t* to);
};
