// The decoder's forward pass, layer by layer, for every architecture of the table. Values are fp32;
// all of a forward pass lies and runs on one device.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sq/checkpoint/model_config.h"
#include "sq/checkpoint/tensor_store.h"
#include "sq/model/architecture.h"
#include "sq/model/linear.h"

namespace sq {

// A checkpoint folder opened: nothing but its headers is read yet.
struct Model {
  std::string folder;
  ModelConfig config;
  TensorStore store;
};

// What whoever opens a model knows better than its files.
struct OpenOptions {
  // Fields of config.json that are passed over as if they were not there; see ReadModelConfig.
  std::vector<std::string> ignore_config_fields;
  // Tensors that nothing uses are an error, not a warning.
  bool strict = false;
};

// Throws sq::Error on a folder that is no model, and on tensors that the architecture lacks or does
// not know: every one is named.
Model OpenModel(const std::string& folder, const OpenOptions& options = {});

// The folder's weights by the architecture's names, which of them are there not checked.
TensorStore OpenWeights(const std::string& folder, const ModelConfig& config);

// A layer norm, or an RMS norm where `bias` is undefined.
struct Norm {
  at::Tensor weight, bias;  // fp32 [features]
};

struct DecoderLayer {
  std::array<Linear, kProjections> linears;  // by Projection; no gate: the MLP is not gated
  Norm attention_norm, mlp_norm;             // [hidden]
  Norm query_norm, key_norm;                 // [head_dim]; undefined: none
  int64_t attention_window = 0;              // ModelConfig::AttentionWindow
};

struct Head {
  Norm norm;      // [hidden]
  Linear linear;  // [vocab, hidden]
};

DecoderLayer LoadDecoderLayer(const Model& model, int64_t layer,
                              DenseWeights dense = DenseWeights::kFloat, const Device& device = {});
Head LoadHead(const Model& model, DenseWeights dense = DenseWeights::kFloat,
              const Device& device = {});

// Rows of the embedding, converted to fp32, and learned positions added where the architecture has
// them: ids -> [tokens, hidden]. The first id stands at `position`. Throws sq::Error on an id
// outside the vocabulary, and on more positions than were learned. In the host's memory.
at::Tensor EmbedTokens(const Model& model, const std::vector<int32_t>& ids, int64_t position = 0);

// Keys and values of one layer for the tokens seen so far: [batch, kv_heads, capacity, head_dim].
struct LayerCache {
  at::Tensor keys, values;
  int64_t length = 0;
};

// cos and sin of the rotary embedding, a row per position: [count, head_dim]. Both undefined for a
// model whose positions are learned.
struct RopeTable {
  at::Tensor cos, sin;
  // Rows [begin, begin + count).
  RopeTable Rows(int64_t begin, int64_t count) const {
    if (!cos.defined()) return {};
    return {cos.narrow(0, begin, count), sin.narrow(0, begin, count)};
  }
};
// Positions [begin, begin + count): computed on the host, so that they are the same everywhere.
RopeTable MakeRopeTable(const ModelConfig& config, int64_t begin, int64_t count,
                        const Device& device = {});

// How a linear layer is applied: ApplyLinear, or a wrapper that also watches it.
using LinearFn = std::function<at::Tensor(Projection, const Linear&, const at::Tensor&)>;

// hidden: [batch, tokens, hidden] -> the same shape. `rope` covers the tokens' positions. With a
// cache the tokens follow those in it, attend to them too and are added to it; without one they are
// a whole sequence. Differentiable with respect to `hidden` when the layer is dense.
at::Tensor DecoderForward(const ModelConfig& config, const DecoderLayer& layer,
                          const at::Tensor& hidden, const RopeTable& rope,
                          LayerCache* cache = nullptr, const LinearFn& apply = {});

// Final norm: [..., hidden] -> the same shape. Logits: normed [..., hidden] -> [..., vocab].
at::Tensor FinalNorm(const ModelConfig& config, const Head& head, const at::Tensor& hidden);
at::Tensor Logits(const Head& head, const at::Tensor& normed);

}  // namespace sq
