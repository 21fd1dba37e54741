// What a forward pass reads of an opened model: decoder layers, the head, rows of the embedding.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "sq/model/linear.h"
#include "sq/model/model.h"

namespace sq {

// A layer norm, or an RMS norm where `bias` is undefined.
struct Norm {
  at::Tensor weight, bias;  // fp32 [features]
};

// Weights of a decoder layer with their descriptions (LayerLinears, LayerNorms).
struct LayerLinear {
  LinearInfo info;
  Linear linear;
};
struct LayerNorm {
  NormInfo info;
  Norm norm;
};
struct DecoderLayer {
  std::vector<LayerLinear> linears;
  std::vector<LayerNorm> norms;
  int64_t attention_window = 0;  // ModelConfig::AttentionWindow

  // The norm with this role, or null.
  const Norm* FindNorm(NormRole role) const;
};

struct Head {
  Norm norm;      // [hidden]
  Linear linear;  // [vocab, hidden]
};

DecoderLayer LoadDecoderLayer(const Model& model, int64_t layer, DenseWeights dense,
                              const Device& device);
Head LoadHead(const Model& model, DenseWeights dense, const Device& device);

// Throw sq::Error on an id outside the vocabulary, and on a sequence of more tokens than the model
// has learned positions for.
void CheckTokenId(const Model& model, int32_t id);
void CheckLearnedPositions(const Model& model, int64_t length);

// Rows of the embedding, converted to fp32, and learned positions added where the architecture has
// them: ids -> [tokens, hidden]. The first id stands at `position`. Throws sq::Error on an id
// outside the vocabulary, and on more positions than were learned. In the host's memory.
at::Tensor EmbedTokens(const Model& model, const std::vector<int32_t>& ids, int64_t position = 0);

}  // namespace sq
