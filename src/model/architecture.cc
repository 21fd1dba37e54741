#include "sq/model/architecture.h"

#include "sq/base/error.h"

namespace sq {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama",
     "model.embed_tokens.weight",
     "model.layers.",
     "input_layernorm.weight",
     "post_attention_layernorm.weight",
     "model.norm.weight",
     "lm_head.weight",
     {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
      "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}},
};

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
  const std::string prefix = architecture.layer_prefix + std::to_string(layer) + ".";
  const auto linear = [&](Projection projection, int64_t out, int64_t in, bool bias) {
    const char* name = architecture.projections[static_cast<size_t>(projection)];
    return LinearInfo{projection, prefix + name, out, in, bias};
  };
  return {linear(Projection::kQuery, heads, hidden, config.attention_bias),
          linear(Projection::kKey, kv_heads, hidden, config.attention_bias),
          linear(Projection::kValue, kv_heads, hidden, config.attention_bias),
          linear(Projection::kAttentionOut, hidden, heads, config.attention_bias),
          linear(Projection::kGate, intermediate, hidden, config.mlp_bias),
          linear(Projection::kUp, intermediate, hidden, config.mlp_bias),
          linear(Projection::kDown, hidden, intermediate, config.mlp_bias)};
}

}  // namespace sq
