// Architectures as data: names of a checkpoint's tensors and of its linear layers, in forward
// order.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "sq/checkpoint/model_config.h"

namespace sq {

// What a linear layer of a decoder layer does. The order is that of the forward pass.
enum class Projection { kQuery, kKey, kValue, kAttentionOut, kGate, kUp, kDown };
constexpr int kProjections = 7;

// Names of a checkpoint's tensors; null where the architecture has no such tensor. Names after
// layer_prefix are inside a layer.
struct Architecture {
  const char* model_type;  // config.json's
  const char* embedding;
  const char* positions;     // learned, one row per position after the first kPositionOffset; null:
                             // rotary
  const char* layer_prefix;  // followed by the layer's number and a dot
  const char* attention_norm;
  const char* mlp_norm;
  const char* query_norm;  // of each head
  const char* key_norm;
  const char* final_norm;
  const char* head;
  // Layer norms: mean subtracted, with a bias. Else RMS norms.
  bool layer_norms;
  std::array<const char*, kProjections> projections;  // module names, by Projection
};

constexpr int64_t kPositionOffset = 2;  // OPT's, which all learned positions here follow

// Throws sq::Error for a model_type without a row.
const Architecture& FindArchitecture(const std::string& model_type);

// One linear layer of a model: those that are quantized.
struct LinearInfo {
  Projection projection;
  std::string name;  // of the module, such as model.layers.0.self_attn.q_proj
  int64_t out_features;
  int64_t in_features;
  bool bias;
};

// The linear layers of decoder layer `layer`, in forward order.
std::vector<LinearInfo> LayerLinears(const ModelConfig& config, int64_t layer);

// Names and shapes of all other tensors that a model needs: embeddings, norms, and the head unless
// it is tied.
struct PlainTensor {
  std::string name;
  std::vector<int64_t> shape;
};
std::vector<PlainTensor> PlainTensors(const ModelConfig& config);

}  // namespace sq
