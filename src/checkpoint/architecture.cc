#include "sq/checkpoint/architecture.h"

#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/checkpoint/config_fields.h"
#include "sq/checkpoint/family_fields.h"

namespace sq {
namespace {

using Role = LinearRole;

void ParseLlama(ConfigFields* fields, ModelConfig* config) {
  FieldDefaults defaults;
  defaults.bos = 1;
  defaults.eos = 2;
  ParseLlamaFields(defaults, fields, config);
  config->qkv_bias = config->attention_out_bias = fields->Bool("attention_bias", false);
  config->mlp_bias = fields->Bool("mlp_bias", false);
  ParseLayerTypes(0, fields, config);
}

// A configuration with layer_types is that of transformers' Ministral, which is otherwise the same.
void ParseMistral(ConfigFields* fields, ModelConfig* config) {
  FieldDefaults defaults;
  defaults.kv_heads = 8;
  defaults.window = 4096;
  defaults.positions = 4096 * 32;
  defaults.bos = 1;
  defaults.eos = 2;
  ParseLlamaFields(defaults, fields, config);
  const int64_t window = ParseWindow(defaults, fields);
  if (ParseLayerTypes(window, fields, config) || window == 0) return;
  config->attention_windows.assign(static_cast<size_t>(config->num_layers), window);
}

void ParseQwen2(ConfigFields* fields, ModelConfig* config) {
  FieldDefaults defaults;
  defaults.kv_heads = 32;
  defaults.window = 4096;
  defaults.positions = 32768;
  ParseLlamaFields(defaults, fields, config);
  config->qkv_bias = true;
  ParseQwenWindows(defaults, fields, config);
}

void ParseQwen3(ConfigFields* fields, ModelConfig* config) {
  FieldDefaults defaults;
  defaults.kv_heads = 32;
  defaults.head_dim = 128;
  defaults.window = 4096;
  defaults.positions = 32768;
  ParseLlamaFields(defaults, fields, config);
  config->qkv_bias = config->attention_out_bias = fields->Bool("attention_bias", false);
  ParseQwenWindows(defaults, fields, config);
}

void ParsePhi3(ConfigFields* fields, ModelConfig* config) {
  FieldDefaults defaults;
  defaults.positions = 4096;
  defaults.bos = 1;
  defaults.eos = 32000;
  defaults.norm_epsilon = 1e-5;
  ParseLlamaFields(defaults, fields, config);
  const int64_t window = ParseWindow(defaults, fields);
  if (window > 0) config->attention_windows.assign(static_cast<size_t>(config->num_layers), window);
}

void ParseOpt(ConfigFields* fields, ModelConfig* config) {
  FieldDefaults defaults;
  defaults.bos = defaults.eos = 2;
  ParseSizes(defaults, fields, config);
  ParsePlainHeads(fields, config);
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
}

// LLaMA's tensors, which most families since have taken over.
Architecture LlamaLike(const char* model_type, void (*parse)(ConfigFields*, ModelConfig*)) {
  return {
      model_type,
      parse,
      {},
      NormKind::kRms,
      "model.embed_tokens.weight",
      nullptr,
      "model.layers.",
      "model.norm",
      "lm_head.weight",
      {{"self_attn.q_proj", {Role::kQuery}, &ModelConfig::qkv_bias},
       {"self_attn.k_proj", {Role::kKey}, &ModelConfig::qkv_bias},
       {"self_attn.v_proj", {Role::kValue}, &ModelConfig::qkv_bias},
       {"self_attn.o_proj", {Role::kAttentionOut}, &ModelConfig::attention_out_bias},
       {"mlp.gate_proj", {Role::kGate}, &ModelConfig::mlp_bias},
       {"mlp.up_proj", {Role::kUp}, &ModelConfig::mlp_bias},
       {"mlp.down_proj", {Role::kDown}, &ModelConfig::mlp_bias}},
      {{NormRole::kAttention, "input_layernorm"}, {NormRole::kMlp, "post_attention_layernorm"}}};
}

Architecture Llama() {
  Architecture row = LlamaLike("llama", ParseLlama);
  // transformers has no windows in this family, others do: a file that names one may mean it.
  row.fixed_fields = {{"sliding_window", "[null]"}};
  return row;
}

Architecture Qwen3() {
  Architecture row = LlamaLike("qwen3", ParseQwen3);
  row.layer_norms.push_back({NormRole::kQuery, "self_attn.q_norm"});
  row.layer_norms.push_back({NormRole::kKey, "self_attn.k_norm"});
  return row;
}

Architecture Phi3() {
  Architecture row = LlamaLike("phi3", ParsePhi3);
  row.layer_linears = {{"self_attn.qkv_proj", {Role::kQuery, Role::kKey, Role::kValue}, nullptr},
                       {"self_attn.o_proj", {Role::kAttentionOut}, nullptr},
                       {"mlp.gate_up_proj", {Role::kGate, Role::kUp}, nullptr},
                       {"mlp.down_proj", {Role::kDown}, nullptr}};
  return row;
}

Architecture Opt() {
  return {"opt",
          ParseOpt,
          {{"do_layer_norm_before", "[true]"},
           {"layer_norm_elementwise_affine", "[true]"},
           {"_remove_final_layer_norm", "[false, null]"},
           // Of files made from fairseq's and Galactica's checkpoints.
           {"output_projection", "[true]"},
           {"learned_embeddings", "[true]"},
           {"scale_embeddings", "[false, null]"}},
          NormKind::kLayer,
          "model.decoder.embed_tokens.weight",
          "model.decoder.embed_positions.weight",
          "model.decoder.layers.",
          "model.decoder.final_layer_norm",
          "lm_head.weight",
          {{"self_attn.q_proj", {Role::kQuery}, &ModelConfig::qkv_bias},
           {"self_attn.k_proj", {Role::kKey}, &ModelConfig::qkv_bias},
           {"self_attn.v_proj", {Role::kValue}, &ModelConfig::qkv_bias},
           {"self_attn.out_proj", {Role::kAttentionOut}, &ModelConfig::attention_out_bias},
           {"fc1", {Role::kUp}, &ModelConfig::mlp_bias},
           {"fc2", {Role::kDown}, &ModelConfig::mlp_bias}},
          {{NormRole::kAttention, "self_attn_layer_norm"}, {NormRole::kMlp, "final_layer_norm"}}};
}

const std::vector<Architecture>& Architectures() {
  static const std::vector<Architecture> rows = {Llama(),
                                                 LlamaLike("mistral", ParseMistral),
                                                 LlamaLike("ministral", ParseMistral),
                                                 LlamaLike("qwen2", ParseQwen2),
                                                 Qwen3(),
                                                 Phi3(),
                                                 Opt()};
  return rows;
}

int64_t RowsOf(LinearRole role, const ModelConfig& config) {
  switch (role) {
    case Role::kQuery: return config.num_heads * config.head_dim;
    case Role::kKey:
    case Role::kValue: return config.num_kv_heads * config.head_dim;
    case Role::kGate:
    case Role::kUp: return config.intermediate_size;
    case Role::kAttentionOut:
    case Role::kDown: return config.hidden_size;
  }
  SQ_DCHECK(false);
  return 0;
}

int64_t InputsOf(LinearRole role, const ModelConfig& config) {
  if (role == Role::kAttentionOut) return config.num_heads * config.head_dim;
  return role == Role::kDown ? config.intermediate_size : config.hidden_size;
}

std::string LayerPrefix(const ModelConfig& config, int64_t layer) {
  return config.architecture->layer_prefix + std::to_string(layer) + ".";
}

LinearInfo DescribeLinear(const LinearRow& row, const ModelConfig& config,
                          const std::string& prefix) {
  LinearInfo linear;
  linear.name = prefix + row.name;
  linear.out_features = 0;
  for (const LinearRole role : row.roles) {
    const int64_t rows = RowsOf(role, config);
    linear.parts.push_back({role, linear.out_features, rows});
    linear.out_features += rows;
  }
  linear.in_features = InputsOf(row.roles.front(), config);
  linear.bias = row.bias != nullptr && config.*row.bias;
  return linear;
}

void AddNorm(const NormInfo& norm, std::vector<PlainTensor>* tensors) {
  tensors->push_back({norm.WeightName(), {norm.features}});
  if (norm.bias) tensors->push_back({norm.BiasName(), {norm.features}});
}

}  // namespace

const Architecture* FindArchitecture(const std::string& model_type) {
  for (const Architecture& architecture : Architectures()) {
    if (model_type == architecture.model_type) return &architecture;
  }
  return nullptr;
}

std::string KnownArchitectures() {
  std::string known;
  for (const Architecture& architecture : Architectures()) {
    known += (known.empty() ? "" : ", ") + std::string(architecture.model_type);
  }
  return known;
}

// What relatives of these families (Granite, Gemma, Phi, Cohere, mixtures of experts, encoders)
// turn on. 0 stands for parts that are not there.
const std::vector<FixedField>& CommonFixedFields() {
  static const std::vector<FixedField> fields = {
      {"attn_logit_softcapping", "[null]"},
      {"final_logit_softcapping", "[null]"},
      {"attention_multiplier", "[null]"},
      {"query_pre_attn_scalar", "[null]"},
      {"clip_qkv", "[null]"},
      {"embedding_multiplier", "[1.0, null]"},
      {"residual_multiplier", "[1.0, null]"},
      {"logits_scaling", "[1.0, null]"},
      {"logit_scale", "[1.0, null]"},
      {"scale_emb", "[1.0, null]"},
      {"mup_multiplier", "[1.0, null]"},
      {"num_experts", "[null, 0]"},
      {"num_local_experts", "[null, 0]"},
      {"n_routed_experts", "[null, 0]"},
      {"n_shared_experts", "[null, 0]"},
      {"num_experts_per_tok", "[null, 0]"},
      {"moe_intermediate_size", "[null, 0]"},
      // With null transformers attends to later tokens too.
      {"is_causal", "[true]"},
      {"use_bidirectional_attention", "[false, null]"}};
  return fields;
}

void CheckFixedFields(const std::vector<FixedField>& fixed, ConfigFields* fields) {
  for (const FixedField& field : fixed) {
    fields->Fixed(field.name, nlohmann::json::parse(field.values));
  }
}

std::vector<LinearInfo> LayerLinears(const ModelConfig& config, int64_t layer) {
  std::vector<LinearInfo> linears;
  for (const LinearRow& row : config.architecture->layer_linears) {
    linears.push_back(DescribeLinear(row, config, LayerPrefix(config, layer)));
  }
  return linears;
}

std::vector<NormInfo> LayerNorms(const ModelConfig& config, int64_t layer) {
  const Architecture& architecture = *config.architecture;
  std::vector<NormInfo> norms;
  for (const NormRow& row : architecture.layer_norms) {
    const bool of_heads = row.role == NormRole::kQuery || row.role == NormRole::kKey;
    norms.push_back({row.role, LayerPrefix(config, layer) + row.name,
                     of_heads ? config.head_dim : config.hidden_size,
                     architecture.norms == NormKind::kLayer});
  }
  return norms;
}

std::vector<LinearInfo> ModelLinears(const ModelConfig& config) {
  std::vector<LinearInfo> all;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    for (LinearInfo& linear : LayerLinears(config, layer)) all.push_back(std::move(linear));
  }
  return all;
}

NormInfo FinalNormInfo(const ModelConfig& config) {
  const Architecture& architecture = *config.architecture;
  return {NormRole::kFinal, architecture.final_norm, config.hidden_size,
          architecture.norms == NormKind::kLayer};
}

const char* HeadName(const ModelConfig& config) {
  const Architecture& architecture = *config.architecture;
  return config.tie_word_embeddings ? architecture.embedding : architecture.head;
}

std::vector<PlainTensor> PlainTensors(const ModelConfig& config) {
  const Architecture& architecture = *config.architecture;
  const int64_t hidden = config.hidden_size;
  std::vector<PlainTensor> tensors = {{architecture.embedding, {config.vocab_size, hidden}}};
  if (architecture.positions != nullptr) {
    tensors.push_back({architecture.positions, {config.max_positions + kPositionOffset, hidden}});
  }
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    for (const NormInfo& norm : LayerNorms(config, layer)) AddNorm(norm, &tensors);
  }
  AddNorm(FinalNormInfo(config), &tensors);
  if (!config.tie_word_embeddings) {
    tensors.push_back({architecture.head, {config.vocab_size, hidden}});
  }
  return tensors;
}

}  // namespace sq
