// The decoder's forward pass, layer by layer, for every architecture of the table. fp32 on the CPU.
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

// Throws sq::Error on a folder that is no model, and on tensors that the architecture lacks or does
// not know: every one is named.
Model OpenModel(const std::string& folder);

struct DecoderLayer {
  std::array<Linear, kProjections> linears;  // by Projection
  at::Tensor attention_norm, mlp_norm;       // [hidden]
};

struct Head {
  at::Tensor norm;    // [hidden]
  at::Tensor weight;  // [vocab, hidden]
};

DecoderLayer LoadDecoderLayer(const Model& model, int64_t layer);
Head LoadHead(const Model& model);

// Rows of the embedding, converted to fp32: ids -> [tokens, hidden]. Throws sq::Error on an id
// outside the vocabulary.
at::Tensor EmbedTokens(const Model& model, const std::vector<int32_t>& ids);

// Keys and values of one layer for the tokens seen so far: [batch, kv_heads, capacity, head_dim].
struct LayerCache {
  at::Tensor keys, values;
  int64_t length = 0;
};

// cos and sin of the rotary embedding for positions [begin, begin + count): [count, head_dim].
struct RopeTable {
  at::Tensor cos, sin;
  // Its first `count` positions.
  RopeTable First(int64_t count) const {
    return {cos.narrow(0, 0, count), sin.narrow(0, 0, count)};
  }
};
RopeTable MakeRopeTable(const ModelConfig& config, int64_t begin, int64_t count);

// How a linear layer is applied: ApplyLinear, or a wrapper that also watches it.
using LinearFn = std::function<at::Tensor(Projection, const Linear&, const at::Tensor&)>;

// hidden: [batch, tokens, hidden] -> the same shape. `rope` covers the tokens' positions. With a
// cache the tokens attend to those in it too and are added to it; without one they are a whole
// sequence. Differentiable with respect to `hidden` when the layer is dense.
at::Tensor DecoderForward(const ModelConfig& config, const DecoderLayer& layer,
                          const at::Tensor& hidden, const RopeTable& rope,
                          LayerCache* cache = nullptr, const LinearFn& apply = {});

// Final norm: [..., hidden] -> the same shape. Logits: normed [..., hidden] -> [..., vocab].
at::Tensor FinalNorm(const ModelConfig& config, const Head& head, const at::Tensor& hidden);
at::Tensor Logits(const Head& head, const at::Tensor& normed);

}  // namespace sq
