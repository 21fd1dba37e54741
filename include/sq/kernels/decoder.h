// Token-by-token decoding with a KV cache: plain structs that describe the weights of a
// decoder-only transformer, and the interface of the backends that run it (CUDA: cuda_decoder.h).
// Independent of LibTorch.
//
// Weights are passed as host pointers that are only read during the call, so a caller can load and
// free one layer at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sq/base/float_type.h"
#include "sq/base/layer_parts.h"
#include "sq/packed/packed_layer.h"

namespace sq {

// A row-major host matrix [rows][cols] without padding, in any alignment (as in a mapped file).
struct HostMatrix {
  const void* data = nullptr;
  FloatType type = FloatType::kFloat16;
  int64_t rows = 0, cols = 0;
};

// A linear layer, either packed (including its bias) or dense, and the roles of its rows.
struct DecoderLinear {
  std::vector<LinearPart> parts;
  std::optional<PackedView> packed;
  HostMatrix dense;
  const float* bias = nullptr;  // [rows], of a dense one; null: none

  int64_t rows() const { return packed ? packed->out_features : dense.rows; }
  int64_t cols() const { return packed ? packed->in_features : dense.cols; }
};

// An RMS norm, or a layer norm if `bias` is set. fp32 [hidden]; for kQuery and kKey [head_dim].
struct DecoderNorm {
  NormRole role = NormRole::kAttention;
  const float *weight = nullptr, *bias = nullptr;
};

struct DecoderShape {
  int64_t hidden = 0;
  int64_t intermediate = 0;
  int64_t heads = 0, kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab = 0;
  float norm_epsilon = 0;
  Activation activation = Activation::kSilu;
};

struct DecoderLayerWeights {
  std::vector<DecoderLinear> linears;  // each role once; kGate only for a gated MLP
  std::vector<DecoderNorm> norms;      // kAttention and kMlp; optionally kQuery and kKey
  int64_t attention_window = 0;        // tokens attended to, including the current one; 0: all
};

struct EmbeddingAndHead {
  HostMatrix embedding;  // [vocab][hidden]
  HostMatrix positions;  // [positions][hidden], learned; no data: rotary
  DecoderNorm norm;
  HostMatrix head;  // [vocab][hidden]; the same pointer as the embedding if tied
};

// cos and sin of the rotary embedding, fp32 [positions][head_dim / 2]; null: learned positions.
struct RotaryRows {
  const float *cos = nullptr, *sin = nullptr;
};

// A key-value cache and what feeds it. Not for use from two threads at once.
class DecoderSession {
 public:
  virtual ~DecoderSession() = default;

  // Replaces the rotary rows of positions [begin, begin + count).
  virtual void SetRotary(int64_t begin, int64_t count, const RotaryRows& rows) = 0;

  // Appends `ids` [batch][tokens] (each below vocab) and writes the logits of the last token of
  // each sequence to `logits`, host fp32 [batch][vocab]. Throws sq::Error when the capacity is
  // exceeded. After a device error, only Reset may be called.
  virtual void Step(const std::vector<std::vector<int32_t>>& ids, float* logits) = 0;

  // Appends `ids` likewise and returns the argmax of the logits [batch]; ties go to the lowest id.
  virtual std::vector<int32_t> StepGreedily(const std::vector<std::vector<int32_t>>& ids) = 0;

  // Appends the ids returned by the previous StepGreedily, without a round trip through the host.
  virtual std::vector<int32_t> StepGreedily() = 0;

  // Forgets all tokens.
  virtual void Reset() = 0;

  virtual int64_t length() const = 0;
};

// Weights in device memory, shared by any number of sessions. Must be owned by a shared_ptr; each
// session keeps a reference.
class DecoderModel : public std::enable_shared_from_this<DecoderModel> {
 public:
  virtual ~DecoderModel() = default;

  // Adds the next layer. Throws sq::Error for sizes and types that the kernels do not support, and
  // when the device is out of memory.
  virtual void AddLayer(const DecoderLayerWeights& layer) = 0;
  virtual void SetEmbeddingAndHead(const EmbeddingAndHead& ends) = 0;

  // Allocates a KV cache for `batch` sequences of up to `capacity` tokens; `rotary` has `capacity`
  // rows. Throws sq::Error when the device is out of memory.
  virtual std::unique_ptr<DecoderSession> NewSession(int64_t batch, int64_t capacity,
                                                     const RotaryRows& rotary) const = 0;

  // Bytes of all weights in device memory, and the bytes that one step reads: the embedding (unless
  // tied to the head) and learned positions are excluded, since a step reads only a few rows.
  virtual int64_t Bytes() const = 0;
  virtual int64_t StepBytes() const = 0;
};

}  // namespace sq
