// What a forward pass reads of an opened model: decoder layers, the head, rows of the embedding.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

#include "sq/model/linear.h"
#include "sq/model/model.h"

namespace sq {

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

}  // namespace sq
