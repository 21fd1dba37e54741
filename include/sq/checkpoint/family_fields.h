// Fields of config.json that many architectures share, for the parse functions of architecture.cc:
// names, ranges, and what a field is where it is absent. The reference is transformers 5
// (configuration_*.py and modeling_*.py of each family), and version 4 where only that writes a
// field.
#pragma once

#include "sq/checkpoint/config_fields.h"
#include "sq/checkpoint/model_config.h"

namespace sq {

// What a family takes where a field is absent. -1: no value of its own.
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

// The number of layers, heads, positions and words, the hidden size, and the ids that begin and end
// a text.
void ParseSizes(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config);

// num_key_value_heads and head_dim.
void ParseHeads(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config);

// Heads that are hidden_size / num_attention_heads wide.
void ParsePlainHeads(ConfigFields* fields, ModelConfig* config);

// An activation by its name in transformers (activations.py, ACT2CLS).
Activation ParseActivation(ConfigFields* fields, const std::string& key, const char* fallback);

// All of these, and the other fields of LLaMA and its relatives: rotary positions, RMS norms, a
// gated MLP.
void ParseLlamaFields(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config);

// sliding_window: a number of tokens, or null for none. 0: none.
int64_t ParseWindow(const FieldDefaults& defaults, ConfigFields* fields);

// Sets ModelConfig::attention_windows to `window` for the layers that layer_types lists as sliding.
// False where layer_types is absent.
bool ParseLayerTypes(int64_t window, ConfigFields* fields, ModelConfig* config);

// The same of Qwen: version 5 of transformers lists the layers with a window in layer_types,
// version 4 says from which layer on.
void ParseQwenWindows(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config);

}  // namespace sq
