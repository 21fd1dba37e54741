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

struct Architecture {
  const char* model_type;  // config.json's
  const char* embedding;
  const char* layer_prefix;    // followed by the layer's number and a dot
  const char* attention_norm;  // inside a layer
  const char* mlp_norm;        // inside a layer
  const char* final_norm;
  const char* head;
  std::array<const char*, kProjections> projections;  // module names inside a layer, by Projection
};

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

}  // namespace sq
