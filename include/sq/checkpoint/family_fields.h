// Parsers for fields of config.json that several architectures share, used by architecture.cc:
// names, ranges and defaults. Reference: transformers 5 (configuration_*.py and modeling_*.py of
// each family), and transformers 4 for fields that only version 4 writes.
#pragma once

#include "sq/checkpoint/config_fields.h"
#include "sq/checkpoint/model_config.h"

namespace sq {

// Defaults of a family for absent fields; -1 stands for the value in the comment.
struct FieldDefaults {
  int64_t kv_heads = -1;  // as many as heads
  int64_t head_dim = -1;  // hidden_size / heads
  int64_t window = -1;    // none
  int64_t positions = 2048;
  int bos = -1, eos = -1;  // none
  double norm_epsilon = 1e-6;
};

constexpr int64_t kMaxWidth =
    1 << 20;  // of hidden and intermediate values; products of two fit 64 bits

// Number of layers, heads and positions, vocabulary and hidden size, BOS and EOS ids.
void ParseSizes(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config);

// num_key_value_heads and head_dim.
void ParseHeads(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config);

// Sets head_dim to hidden_size / num_attention_heads.
void ParsePlainHeads(ConfigFields* fields, ModelConfig* config);

// An activation by its name in transformers (activations.py, ACT2CLS).
Activation ParseActivation(ConfigFields* fields, const std::string& key, const char* fallback);

// All fields of LLaMA-like architectures (RMS norms, gated MLP) except RoPE.
void ParseLlamaFields(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config);

// sliding_window in tokens; 0 for none (null).
int64_t ParseWindow(const FieldDefaults& defaults, ConfigFields* fields);

// Sets ModelConfig::attention_windows to `window` for the layers that layer_types lists as sliding.
// False where layer_types is absent.
bool ParseLayerTypes(int64_t window, ConfigFields* fields, ModelConfig* config);

// Sliding windows of Qwen models: layer_types in transformers 5, max_window_layers in version 4.
void ParseQwenWindows(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config);

}  // namespace sq
