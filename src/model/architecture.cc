#include "sq/model/architecture.h"

#include "sq/base/error.h"

namespace sq {
namespace {

constexpr Architecture RotaryFamily(const char* model_type) {
  return {model_type,
          "model.embed_tokens.weight",
          nullptr,
          "model.layers.",
          "input_layernorm",
          "post_attention_layernorm",
          nullptr,
          nullptr,
          "model.norm",
          "lm_head.weight",
          false,
          {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}};
}

constexpr Architecture WithHeadNorms(Architecture architecture) {
  architecture.query_norm = "self_attn.q_norm";
  architecture.key_norm = "self_attn.k_norm";
  return architecture;
}

constexpr Architecture kArchitectures[] = {
    RotaryFamily("llama"),
    RotaryFamily("mistral"),
    RotaryFamily("qwen2"),
    WithHeadNorms(RotaryFamily("qwen3")),
    {"opt",
     "model.decoder.embed_tokens.weight",
     "model.decoder.embed_positions.weight",
     "model.decoder.layers.",
     "self_attn_layer_norm",
     "final_layer_norm",
     nullptr,
     nullptr,
     "model.decoder.final_layer_norm",
     "lm_head.weight",
     true,
     {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", nullptr,
      "fc1", "fc2"}},
};

std::string LayerPrefix(const Architecture& architecture, int64_t layer) {
  return architecture.layer_prefix + std::to_string(layer) + ".";
}

}  // namespace

const Architecture& FindArchitecture(const std::string& model_type) {
  for (const Architecture& architecture : kArchitectures) {
    if (model_type == architecture.model_type) return architecture;
  }
  throw Error(StrCat("model_type ", model_type, " is not supported"));
}

std::vector<LinearInfo> LayerLinears(const ModelConfig& config, int64_t layer) {
  const Architecture& architecture = FindArchitecture(config.model_type);
  const int64_t hidden = config.hidden_size, intermediate = config.intermediate_size;
  const int64_t heads = config.num_heads * config.head_dim;
  const int64_t kv_heads = config.num_kv_heads * config.head_dim;
  const std::string prefix = LayerPrefix(architecture, layer);
  std::vector<LinearInfo> linears;
  const auto add = [&](Projection projection, int64_t out, int64_t in, bool bias) {
    const char* name = architecture.projections[static_cast<size_t>(projection)];
    if (name != nullptr) linears.push_back({projection, prefix + name, out, in, bias});
  };
  add(Projection::kQuery, heads, hidden, config.qkv_bias);
  add(Projection::kKey, kv_heads, hidden, config.qkv_bias);
  add(Projection::kValue, kv_heads, hidden, config.qkv_bias);
  add(Projection::kAttentionOut, hidden, heads, config.attention_out_bias);
  add(Projection::kGate, intermediate, hidden, config.mlp_bias);
  add(Projection::kUp, intermediate, hidden, config.mlp_bias);
  add(Projection::kDown, hidden, intermediate, config.mlp_bias);
  return linears;
}

std::vector<PlainTensor> PlainTensors(const ModelConfig& config) {
  const Architecture& architecture = FindArchitecture(config.model_type);
  const int64_t hidden = config.hidden_size;
  std::vector<PlainTensor> tensors = {{architecture.embedding, {config.vocab_size, hidden}}};
  if (architecture.positions != nullptr) {
    tensors.push_back({architecture.positions, {config.max_positions + kPositionOffset, hidden}});
  }
  const auto add_norm = [&](const std::string& name, int64_t size) {
    tensors.push_back({name + ".weight", {size}});
    if (architecture.layer_norms) tensors.push_back({name + ".bias", {size}});
  };
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const std::string prefix = LayerPrefix(architecture, layer);
    add_norm(prefix + architecture.attention_norm, hidden);
    add_norm(prefix + architecture.mlp_norm, hidden);
    for (const char* name : {architecture.query_norm, architecture.key_norm}) {
      if (name != nullptr) add_norm(prefix + name, config.head_dim);
    }
  }
  add_norm(architecture.final_norm, hidden);
  if (!config.tie_word_embeddings) {
    tensors.push_back({architecture.head, {config.vocab_size, hidden}});
  }
  return tensors;
}

}  // namespace sq
