// Decoding token by token with a key-value cache: a decoder-only transformer's weights as plain
// numbers and pointers, and the interface of whatever runs them (on a CUDA device:
// cuda_decoder.h). LibTorch is not needed.
//
// Weights lie on the host and are read during the calls alone, so that layers can be loaded and
// dropped one by one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sq/base/float_type.h"
#include "sq/base/layer_parts.h"
#include "sq/packed/packed_layer.h"

namespace sq {

// A matrix on the host as a file holds it: [rows][cols] without gaps, any alignment.
struct HostMatrix {
  const void* data = nullptr;
  FloatType type = FloatType::kFloat16;
  int64_t rows = 0, cols = 0;
};

// A linear layer, packed (with its own bias) or dense, and what its rows are for.
struct DecoderLinear {
  std::vector<LinearPart> parts;
  std::optional<PackedView> packed;
  HostMatrix dense;
  const float* bias = nullptr;  // [rows], of a dense one; null: none

  int64_t rows() const { return packed ? packed->out_features : dense.rows; }
  int64_t cols() const { return packed ? packed->in_features : dense.cols; }
};

// An RMS norm, or where there is a bias a layer norm: fp32 [hidden], of kQuery and kKey [head_dim].
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
  std::vector<DecoderLinear> linears;  // every role once, but kGate where the MLP has none
  std::vector<DecoderNorm> norms;      // kAttention and kMlp; kQuery and kKey or neither
  int64_t attention_window = 0;        // positions that a token attends to, itself included; 0: all
};

struct EmbeddingAndHead {
  HostMatrix embedding;  // [vocab][hidden]
  HostMatrix positions;  // [positions][hidden], learned; no data: rotary
  DecoderNorm norm;
  HostMatrix head;  // [vocab][hidden]; the embedding's data again where they are tied
};

// cos and sin of the rotary embedding, fp32 [positions][head_dim / 2]; null: learned positions.
struct RotaryRows {
  const float *cos = nullptr, *sin = nullptr;
};

// A key-value cache and what feeds it. Not for use from two threads at once.
class DecoderSession {
 public:
  virtual ~DecoderSession() = default;

  // Puts `rows`, of positions [begin, begin + count), in the place of those that it was made with.
  virtual void SetRotary(int64_t begin, int64_t count, const RotaryRows& rows) = 0;

  // Feeds `ids` [batch][tokens], all in the vocabulary, and writes the logits after the last ones
  // to `logits`, host memory fp32 [batch][vocab]. Throws sq::Error beyond the capacity. After an
  // error of a device only Reset may follow.
  virtual void Step(const std::vector<std::vector<int32_t>>& ids, float* logits) = 0;

  // Feeds `ids` likewise. Returns the ids with the greatest logits, the lowest of equal ones:
  // [batch].
  virtual std::vector<int32_t> StepGreedily(const std::vector<std::vector<int32_t>>& ids) = 0;

  // Feeds what the last StepGreedily returned, which on a device never leaves it.
  virtual std::vector<int32_t> StepGreedily() = 0;

  // Forgets all tokens.
  virtual void Reset() = 0;

  virtual int64_t length() const = 0;
};

// Weights in the memory of a device, for any number of sessions. To be held by a shared_ptr: its
// sessions share in it.
class DecoderModel : public std::enable_shared_from_this<DecoderModel> {
 public:
  virtual ~DecoderModel() = default;

  // In order. Throws sq::Error on sizes and types that the device's kernels do not take, and when
  // its memory is too small.
  virtual void AddLayer(const DecoderLayerWeights& layer) = 0;
  virtual void SetEmbeddingAndHead(const EmbeddingAndHead& ends) = 0;

  // Makes room for `capacity` tokens of `batch` sequences; `rotary`: a row for each of them. Throws
  // sq::Error when the device's memory is too small.
  virtual std::unique_ptr<DecoderSession> NewSession(int64_t batch, int64_t capacity,
                                                     const RotaryRows& rotary) const = 0;

  // Bytes of weights in the device's memory, and those of them that a step reads: all but the
  // embedding, where the head is another matrix, and learned positions, of which it reads rows.
  virtual int64_t Bytes() const = 0;
  virtual int64_t StepBytes() const = 0;
};

}  // namespace sq
