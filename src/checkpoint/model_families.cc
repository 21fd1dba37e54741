#include "sq/checkpoint/model_families.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"

namespace sq {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxWidth = 1 << 20;  // far above any; products of two stay inside 64 bits
constexpr int64_t kMaxPositions = int64_t{1} << 32;

// Where a family's fields are absent. -1: no value of its own.
struct Defaults {
  int64_t kv_heads = -1;  // as many as heads
  int64_t head_dim = -1;  // hidden_size / heads
  int64_t window = -1;    // none
  int64_t positions = 2048;
  int bos = -1, eos = -1;  // none
};

// Functions by the names of transformers (activations.py, ACT2CLS).
Activation ParseActivation(ConfigFields* fields, const std::string& key, const char* fallback) {
  static const struct {
    const char* name;
    Activation activation;
  } kNames[] = {{"silu", Activation::kSilu},
                {"swish", Activation::kSilu},
                {"relu", Activation::kRelu},
                {"gelu", Activation::kGelu},
                {"gelu_python", Activation::kGelu},
                {"gelu_new", Activation::kGeluTanh},
                {"gelu_fast", Activation::kGeluTanh},
                {"gelu_accurate", Activation::kGeluTanh},
                {"gelu_pytorch_tanh", Activation::kGeluTanh},
                {"gelu_python_tanh", Activation::kGeluTanh}};
  const std::string name = fields->String(key, fallback);
  for (const auto& row : kNames) {
    if (name == row.name) return row.activation;
  }
  throw Error(StrCat(fields->where(), ": ", Quoted(key),
                     ": not supported: expected silu, relu, gelu or gelu_new, found ",
                     Quoted(name)));
}

// What relatives of all families (Granite, Gemma, Phi, Cohere, mixtures of experts, encoders) turn
// on. A zero stands for parts that are not there.
void CheckRelatives(ConfigFields* fields) {
  for (const char* name : {"attn_logit_softcapping", "final_logit_softcapping",
                           "attention_multiplier", "query_pre_attn_scalar", "clip_qkv"}) {
    fields->Fixed(name, {nullptr});
  }
  for (const char* name : {"embedding_multiplier", "residual_multiplier", "logits_scaling",
                           "logit_scale", "scale_emb", "mup_multiplier"}) {
    fields->Fixed(name, {1.0, nullptr});
  }
  for (const char* name : {"num_experts", "num_local_experts", "n_routed_experts",
                           "n_shared_experts", "num_experts_per_tok", "moe_intermediate_size"}) {
    fields->Fixed(name, {nullptr, 0});
  }
  // Null too makes transformers attend to what comes after.
  fields->Fixed("is_causal", {true});
  fields->Fixed("use_bidirectional_attention", {false, nullptr});
}

// Sizes and ids of all families.
void ParseSizes(const Defaults& defaults, ConfigFields* fields, ModelConfig* config) {
  CheckRelatives(fields);
  config->hidden_size = fields->Int("hidden_size", 1, kMaxWidth);
  config->num_layers = fields->Int("num_hidden_layers", 1, 4096);
  config->num_heads = config->num_kv_heads = fields->Int("num_attention_heads", 1, 65536);
  config->vocab_size = fields->Int("vocab_size", 1, int64_t{1} << 24);
  config->max_positions =
      fields->Int("max_position_embeddings", 1, kMaxPositions, defaults.positions);
  // Absent, an id is the family's; null, there is none.
  const auto ids = [&](const char* name, int fallback) {
    if (fields->Has(name) || fallback < 0) return fields->TokenIds(name);
    return std::vector<int>{fallback};
  };
  const std::vector<int> bos = ids("bos_token_id", defaults.bos);
  if (!bos.empty()) config->bos_token_id = bos.front();
  config->eos_token_ids = ids("eos_token_id", defaults.eos);
}

// Absent, the number of key heads is the family's; null, that of heads.
void ParseHeads(const Defaults& defaults, ConfigFields* fields, ModelConfig* config) {
  const bool own = defaults.kv_heads > 0 && !fields->Has("num_key_value_heads");
  config->num_kv_heads = fields->Int("num_key_value_heads", 1, config->num_heads,
                                     own ? defaults.kv_heads : config->num_heads);
  SQ_CHECK(config->num_heads % config->num_kv_heads == 0, fields->where(),
           ": \"num_key_value_heads\": expected a divisor of ", config->num_heads, ", found ",
           config->num_kv_heads);
  const bool given = fields->Find("head_dim") != nullptr || defaults.head_dim > 0;
  SQ_CHECK(given || config->hidden_size % config->num_heads == 0, fields->where(),
           ": \"num_attention_heads\": expected a divisor of hidden_size ", config->hidden_size,
           ", found ", config->num_heads);
  config->head_dim = fields->Int(
      "head_dim", 1, 65536,
      defaults.head_dim > 0 ? defaults.head_dim : config->hidden_size / config->num_heads);
  SQ_CHECK(config->head_dim % 2 == 0, fields->where(),
           ": \"head_dim\": expected an even number, found ", config->head_dim);
}

// Fields of the families with rotary positions, RMS norms and a gated MLP.
void ParseRotaryFamily(const Defaults& defaults, ConfigFields* fields, ModelConfig* config) {
  ParseSizes(defaults, fields, config);
  ParseHeads(defaults, fields, config);
  config->intermediate_size = fields->Int("intermediate_size", 1, kMaxWidth);
  config->norm_epsilon = fields->PositiveDouble("rms_norm_eps", 1e-6);
  config->tie_word_embeddings = fields->Bool("tie_word_embeddings", false);
  config->activation = ParseActivation(fields, "hidden_act", "silu");
}

// sliding_window: a number of tokens, or null for none. 0: none.
int64_t ParseWindow(const Defaults& defaults, ConfigFields* fields) {
  const bool given = fields->Find("sliding_window") != nullptr;
  if (!given && (fields->Has("sliding_window") || defaults.window < 0)) return 0;
  return fields->Int("sliding_window", 1, kMaxPositions, defaults.window);
}

// Which layers look at `window` tokens only, as layer_types says; false where that is absent.
bool ParseLayerTypes(int64_t window, ConfigFields* fields, ModelConfig* config) {
  const Json* types = fields->Find("layer_types");
  if (types == nullptr) return false;
  const std::string where = fields->where() + ": \"layer_types\"";
  SQ_CHECK(types->is_array() && static_cast<int64_t>(types->size()) == config->num_layers, where,
           ": expected a list of ", config->num_layers, " names");
  std::vector<int64_t> windows;
  for (const Json& type : *types) {
    const bool sliding = type == "sliding_attention";
    SQ_CHECK(sliding || type == "full_attention", where,
             ": not supported: expected full_attention or sliding_attention, found ",
             type.is_string() ? Quoted(type.get_ref<const std::string&>()) : "another type");
    SQ_CHECK(!sliding || window > 0, where, ": sliding_attention, but there is no sliding_window");
    windows.push_back(sliding ? window : 0);
  }
  const bool any = std::count(windows.begin(), windows.end(), 0) != config->num_layers;
  if (any) config->attention_windows = windows;
  return true;
}

void ParseLlama(ConfigFields* fields, ModelConfig* config) {
  Defaults defaults;
  defaults.bos = 1;
  defaults.eos = 2;
  ParseRotaryFamily(defaults, fields, config);
  config->qkv_bias = config->attention_out_bias = fields->Bool("attention_bias", false);
  config->mlp_bias = fields->Bool("mlp_bias", false);
  // transformers has no windows in this family, others do: whoever wrote one may mean it.
  fields->Fixed("sliding_window", {nullptr});
  ParseLayerTypes(0, fields, config);
}

// A configuration with layer_types is that of transformers' Ministral: the same but for them.
void ParseMistral(ConfigFields* fields, ModelConfig* config) {
  Defaults defaults;
  defaults.kv_heads = 8;
  defaults.window = 4096;
  defaults.positions = 4096 * 32;
  defaults.bos = 1;
  defaults.eos = 2;
  ParseRotaryFamily(defaults, fields, config);
  const int64_t window = ParseWindow(defaults, fields);
  if (ParseLayerTypes(window, fields, config) || window == 0) return;
  config->attention_windows.assign(static_cast<size_t>(config->num_layers), window);
}

// transformers 5 lists the layers with a window in layer_types, version 4 says from which layer on.
void ParseQwenWindows(const Defaults& defaults, ConfigFields* fields, ModelConfig* config) {
  const bool use = fields->Bool("use_sliding_window", false);
  fields->MarkRead({"sliding_window", "max_window_layers"});
  const int64_t window = use ? ParseWindow(defaults, fields) : 0;
  if (ParseLayerTypes(window, fields, config) || window == 0) return;
  const int64_t full = fields->Int("max_window_layers", 0, 4096, 28);
  for (int64_t layer = 0; layer < config->num_layers; ++layer) {
    config->attention_windows.push_back(layer < full ? 0 : window);
  }
}

void ParseQwen2(ConfigFields* fields, ModelConfig* config) {
  Defaults defaults;
  defaults.kv_heads = 32;
  defaults.window = 4096;
  defaults.positions = 32768;
  ParseRotaryFamily(defaults, fields, config);
  config->qkv_bias = true;
  ParseQwenWindows(defaults, fields, config);
}

void ParseQwen3(ConfigFields* fields, ModelConfig* config) {
  Defaults defaults;
  defaults.kv_heads = 32;
  defaults.head_dim = 128;
  defaults.window = 4096;
  defaults.positions = 32768;
  ParseRotaryFamily(defaults, fields, config);
  config->qkv_bias = config->attention_out_bias = fields->Bool("attention_bias", false);
  ParseQwenWindows(defaults, fields, config);
}

void ParseOpt(ConfigFields* fields, ModelConfig* config) {
  Defaults defaults;
  defaults.bos = defaults.eos = 2;
  ParseSizes(defaults, fields, config);
  SQ_CHECK(config->hidden_size % config->num_heads == 0, fields->where(),
           ": \"num_attention_heads\": expected a divisor of hidden_size ", config->hidden_size,
           ", found ", config->num_heads);
  config->head_dim = config->hidden_size / config->num_heads;
  config->intermediate_size = fields->Int("ffn_dim", 1, kMaxWidth);
  config->norm_epsilon = 1e-5;  // LayerNorm's default; not in the file
  config->tie_word_embeddings = fields->Bool("tie_word_embeddings", true);
  config->activation = ParseActivation(fields, "activation_function", "relu");
  config->qkv_bias = config->attention_out_bias = config->mlp_bias =
      fields->Bool("enable_bias", true);
  const int64_t embedding = fields->Int("word_embed_proj_dim", 1, kMaxWidth, config->hidden_size);
  SQ_CHECK(embedding == config->hidden_size, fields->where(),
           ": \"word_embed_proj_dim\": not supported: expected hidden_size ", config->hidden_size,
           ", found ", embedding);
  fields->Fixed("do_layer_norm_before", {true});
  fields->Fixed("layer_norm_elementwise_affine", {true});
  fields->Fixed("_remove_final_layer_norm", {false, nullptr});
  // What files made of fairseq's and Galactica's checkpoints have too: a head, positions that are
  // learned, embeddings as they are.
  fields->Fixed("output_projection", {true});
  fields->Fixed("learned_embeddings", {true});
  fields->Fixed("scale_embeddings", {false, nullptr});
}

constexpr ModelFamily kFamilies[] = {
    {"llama", "llama", true, ParseLlama},         {"mistral", "mistral", true, ParseMistral},
    {"ministral", "mistral", true, ParseMistral}, {"qwen2", "qwen2", true, ParseQwen2},
    {"qwen3", "qwen3", true, ParseQwen3},         {"opt", "opt", false, ParseOpt}};

}  // namespace

const ModelFamily& FindModelFamily(const std::string& model_type, const std::string& where) {
  std::string known;
  for (const ModelFamily& family : kFamilies) {
    if (model_type == family.model_type) return family;
    known += (known.empty() ? "" : ", ") + std::string(family.model_type);
  }
  throw Error(StrCat(where, ": \"model_type\": not supported: expected one of ", known, ", found ",
                     Quoted(model_type)));
}

}  // namespace sq
