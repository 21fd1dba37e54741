// Decoding on a CUDA device: a decoder-only transformer's weights in device memory, a key-value
// cache, and one CUDA graph a step. What sq/model describes with LibTorch is plain numbers and
// pointers here; no CUDA header is needed.
//
// Numbers: the residual stream, sums and softmax are fp32; what goes into a linear layer is rounded
// to fp16 (for the MLP's second one with a scale of 2^-6, so that activations up to 4e6 fit), keys
// and values too. Runs repeat bit for bit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sq/kernels/cuda_matmul.h"
#include "sq/packed/packed_layer.h"

namespace sq {

// A matrix on the host as a file holds it: [rows][cols] without gaps, any alignment. On the device
// fp32 and bf16 become fp16 where all values fit, the bf16 ones without loss but below 1e-5: inputs
// rounded to fp16 keep 3 bits more than to bf16, which is what makes texts the CPU's. Where values
// do not fit, the matrix and its inputs are bf16.
struct HostMatrix {
  const void* data = nullptr;
  FloatType type = FloatType::kFloat16;
  int64_t rows = 0, cols = 0;
};

// A linear layer, packed (with its own bias) or dense.
struct DecoderLinear {
  std::optional<PackedView> packed;
  HostMatrix dense;
  const float* bias = nullptr;  // [rows], of a dense one; null: none
  bool Empty() const { return !packed && dense.data == nullptr; }
};

// An RMS norm, or where there is a bias a layer norm. fp32 [features]. Those of heads may have no
// weight, and are no norms then.
struct DecoderNorm {
  const float *weight = nullptr, *bias = nullptr;
};

struct DecoderShape {
  int64_t hidden = 0;        // a multiple of 8, at most 16384
  int64_t intermediate = 0;  // a multiple of 8
  int64_t heads = 0, kv_heads = 0;
  int64_t head_dim = 0;  // a multiple of 8, at most 256
  int64_t vocab = 0;
  float norm_epsilon = 0;
  Activation activation = Activation::kSilu;
};

struct DecoderLayerWeights {
  DecoderLinear query, key, value, attention_out, gate, up, down;  // no gate: the MLP is not gated
  DecoderNorm attention_norm, mlp_norm;                            // [hidden]
  DecoderNorm query_norm, key_norm;                                // [head_dim], of each head
  int64_t attention_window = 0;  // positions that a token attends to, itself included; 0: all
};

struct EmbeddingAndHead {
  HostMatrix embedding;  // [vocab][hidden]
  HostMatrix positions;  // [positions][hidden], learned; no data: rotary
  DecoderNorm norm;
  HostMatrix head;  // [vocab][hidden]; the embedding's data again where they are tied
};

// Weights in the memory of the current device. Any number of decoders may share them. Host memory
// is read during the calls alone, so layers can be loaded and dropped one by one. Throws sq::Error
// on sizes that the kernels do not take, on fp16 and bf16 weights that share an input, and when the
// device's memory will not do.
class CudaModel {
 public:
  explicit CudaModel(const DecoderShape& shape);
  ~CudaModel();
  CudaModel(const CudaModel&) = delete;
  CudaModel& operator=(const CudaModel&) = delete;

  // In order. Query, key and value, and gate and up, become one matrix each where their bits or
  // types agree.
  void AddLayer(const DecoderLayerWeights& layer);
  void SetEmbeddingAndHead(const EmbeddingAndHead& ends);

  const DecoderShape& shape() const;
  int64_t DeviceBytes() const;
  // Of weights that a step reads: all but the embedding, where the head is another matrix, and
  // learned positions, of which it reads rows.
  int64_t StepBytes() const;

  struct State;
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// cos and sin of the rotary embedding, fp32 [capacity][head_dim / 2]; null: learned positions.
struct RotaryRows {
  const float *cos = nullptr, *sin = nullptr;
};

// Not for use from two threads at once.
class CudaDecoder {
 public:
  // Makes room for `capacity` tokens of `batch` sequences. `graphs`: whether steps of one token are
  // captured once and replayed; without, each is launched kernel by kernel, with the same results.
  // Throws sq::Error when the device's memory will not do.
  CudaDecoder(std::shared_ptr<const CudaModel> model, int64_t batch, int64_t capacity,
              const RotaryRows& rotary, bool graphs = true);
  ~CudaDecoder();
  CudaDecoder(const CudaDecoder&) = delete;
  CudaDecoder& operator=(const CudaDecoder&) = delete;

  // Puts `rows`, of positions [begin, begin + count), in the place of those that it was made with.
  // Waits for the last step.
  void SetRotary(int64_t begin, int64_t count, const RotaryRows& rows);

  // Feeds `ids` [batch][tokens], all in the vocabulary, and writes the logits after the last ones
  // to `logits`, host memory fp32 [batch][vocab], unless it is null. Prompts go in chunks of 512
  // rows, or one token of each sequence if these are more, for which buffers grow at the first.
  // Throws sq::Error beyond the capacity. After an error of the device only Reset may follow.
  void Step(const std::vector<std::vector<int32_t>>& ids, float* logits);

  // The ids with the greatest logits after the last step, the lowest of equal ones: [batch].
  std::vector<int32_t> Best() const;

  // Feeds Best(), which never leaves the device, as a step of one token.
  void StepBest();

  void Reset();
  int64_t length() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sq
