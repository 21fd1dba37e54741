// config.json -> ModelConfig. What a model is comes from here and nowhere else: not from a folder's
// name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sq/base/layer_parts.h"
#include "sq/checkpoint/rope_config.h"

namespace sq {

struct Architecture;

struct ModelConfig {
  const Architecture* architecture = nullptr;  // a row of checkpoint/architecture.h
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;  // divides num_heads
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = 0;
  double norm_epsilon = 0;
  Rope rope;  // unused where positions are learned
  Activation activation = Activation::kSilu;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;
  bool attention_out_bias = false;
  bool mlp_bias = false;
  // Per layer: a token attends to itself and the tokens before it, this many in all; 0: to every
  // one. Empty where that is 0 for all layers.
  std::vector<int64_t> attention_windows;
  int bos_token_id = -1;           // -1: none
  std::vector<int> eos_token_ids;  // generation stops at any of them
  // Set when the folder was written by sq-quantize: the width where a layer does not say otherwise.
  int quantized_bits = 0;

  int64_t AttentionWindow(int64_t layer) const {
    return attention_windows.empty() ? 0 : attention_windows[static_cast<size_t>(layer)];
  }
};

// Reads FOLDER/config.json (and eos ids from generation_config.json when it is there). Throws
// sq::Error naming the file and the field: an unknown model_type, a missing or absurd size, a value
// that is not computed here, and any field that is neither read nor known to be harmless
// (config_fields.h). Fields named in `ignored` are passed over as if they were not there; one of an
// object within by its path, "rope_scaling.factor".
ModelConfig ReadModelConfig(const std::string& folder,
                            const std::vector<std::string>& ignored = {});

// The same on the file's text; `path` names it in errors. For ReadModelConfig, tests and the
// fuzzer.
ModelConfig ParseModelConfig(const std::string& text, const std::string& path,
                             const std::vector<std::string>& ignored = {});

}  // namespace sq
