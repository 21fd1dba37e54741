#include "sq/checkpoint/model_config.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"

namespace sq {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxConfigBytes = 16 << 20;

// An integer in [min, max]; `fallback` where the field may be absent.
int64_t IntInRange(const Json& json, const std::string& key, int64_t min, int64_t max,
                   const std::string& path, std::optional<int64_t> fallback = std::nullopt) {
  const int64_t value = JsonInt(json, key, path, fallback);
  SQ_CHECK(value >= min && value <= max, path, ": \"", key, "\": expected ", min, " to ", max,
           ", found ", value);
  return value;
}

double PositiveDouble(const Json& json, const std::string& key, const std::string& path,
                      std::optional<double> fallback = std::nullopt) {
  const double value = JsonDouble(json, key, path, fallback);
  SQ_CHECK(value > 0 && value < 1e30, path, ": \"", key, "\": expected a positive number, found ",
           value);
  return value;
}

// Takes out the member `name`; in "a.b", b of the object a. Nothing to do where it is not there.
void EraseField(Json* json, const std::string& name) {
  if (!json->is_object() || json->erase(name) > 0) return;
  const size_t dot = name.find('.');
  if (dot == std::string::npos) return;
  const auto inner = json->find(name.substr(0, dot));
  if (inner != json->end()) EraseField(&*inner, name.substr(dot + 1));
}

bool Present(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  return found != json.end() && !found->is_null();
}

// A token id, a list of them, or nothing.
std::vector<int> TokenIds(const Json& json, const std::string& key, const std::string& path) {
  std::vector<int> ids;
  if (!Present(json, key)) return ids;
  const Json list = json[key].is_array() ? json[key] : Json::array({json[key]});
  for (const Json& id : list) {
    SQ_CHECK(id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() <= INT32_MAX,
             path, ": \"", key, "\": expected token ids, found ", JsonTypeName(id));
    ids.push_back(id.get<int>());
  }
  return ids;
}

int QuantizedBits(const Json& json, const std::string& path) {
  if (!Present(json, "quantization_config")) return 0;
  const Json& quantization = json["quantization_config"];
  const std::string where = path + ": \"quantization_config\"";
  const std::string method = JsonString(quantization, "quant_method", where);
  SQ_CHECK(method == "squeezellm", where,
           ": quantization method not supported: expected squeezellm, found ", method);
  return static_cast<int>(IntInRange(quantization, "bits", 2, 4, where));
}

Activation ParseActivation(const Json& json, const std::string& key, const std::string& path) {
  const std::string name = JsonString(json, key, path, "silu");
  SQ_CHECK(name == "silu" || name == "relu" || name == "gelu", path, ": \"", key,
           "\": not supported: expected silu, relu or gelu, found ", Quoted(name));
  return name == "silu"   ? Activation::kSilu
         : name == "relu" ? Activation::kRelu
                          : Activation::kGelu;
}

// What the published configurations of a family leave out. -1: no value of its own.
struct Defaults {
  int64_t kv_heads = -1;  // as many as heads
  int64_t head_dim = -1;  // hidden_size / heads
  int64_t window = -1;    // none
};

constexpr int64_t kMaxWidth = 1 << 20;  // far above any; products of two stay inside 64 bits
constexpr int64_t kMaxPositions = int64_t{1} << 32;

// Fields of all families: sizes and attention heads.
void ParseSizes(const Json& json, const std::string& path, const Defaults& defaults,
                ModelConfig* config) {
  config->hidden_size = IntInRange(json, "hidden_size", 1, kMaxWidth, path);
  config->num_layers = IntInRange(json, "num_hidden_layers", 1, 4096, path);
  config->num_heads = IntInRange(json, "num_attention_heads", 1, 65536, path);
  config->num_kv_heads = IntInRange(json, "num_key_value_heads", 1, config->num_heads, path,
                                    defaults.kv_heads > 0 ? defaults.kv_heads : config->num_heads);
  SQ_CHECK(config->num_heads % config->num_kv_heads == 0, path,
           ": \"num_key_value_heads\": expected a divisor of ", config->num_heads, ", found ",
           config->num_kv_heads);
  const bool given = Present(json, "head_dim") || defaults.head_dim > 0;
  SQ_CHECK(given || config->hidden_size % config->num_heads == 0, path,
           ": \"num_attention_heads\": expected a divisor of hidden_size ", config->hidden_size,
           ", found ", config->num_heads);
  config->head_dim = IntInRange(
      json, "head_dim", 1, 65536, path,
      defaults.head_dim > 0 ? defaults.head_dim : config->hidden_size / config->num_heads);
  SQ_CHECK(config->head_dim % 2 == 0, path, ": \"head_dim\": expected an even number, found ",
           config->head_dim);
  config->vocab_size = IntInRange(json, "vocab_size", 1, int64_t{1} << 24, path);
  config->max_positions = IntInRange(json, "max_position_embeddings", 1, kMaxPositions, path, 2048);
}

// Fields of the families with rotary positions, RMS norms and a gated MLP.
void ParseRotaryFamily(const Json& json, const std::string& path, const Defaults& defaults,
                       ModelConfig* config) {
  ParseSizes(json, path, defaults, config);
  config->intermediate_size = IntInRange(json, "intermediate_size", 1, kMaxWidth, path);
  config->norm_epsilon = PositiveDouble(json, "rms_norm_eps", path, 1e-6);
  config->rope = ParseRope(json, config->max_positions, config->head_dim, path);
  config->tie_word_embeddings = JsonBool(json, "tie_word_embeddings", path, false);
  config->activation = ParseActivation(json, "hidden_act", path);
}

// sliding_window: a number of tokens, or null for none.
int64_t ParseWindow(const Json& json, const std::string& path, const Defaults& defaults) {
  const bool null = json.contains("sliding_window") && !Present(json, "sliding_window");
  if (null || (!json.contains("sliding_window") && defaults.window < 0)) return 0;
  return IntInRange(json, "sliding_window", 1, kMaxPositions, path, defaults.window);
}

void ParseLlama(const Json& json, const std::string& path, ModelConfig* config) {
  ParseRotaryFamily(json, path, {}, config);
  config->qkv_bias = config->attention_out_bias = JsonBool(json, "attention_bias", path, false);
  config->mlp_bias = JsonBool(json, "mlp_bias", path, false);
}

void ParseMistral(const Json& json, const std::string& path, ModelConfig* config) {
  Defaults defaults;
  defaults.kv_heads = 8;
  defaults.window = 4096;
  ParseRotaryFamily(json, path, defaults, config);
  const int64_t window = ParseWindow(json, path, defaults);
  if (window > 0) config->attention_windows.assign(config->num_layers, window);
}

// Which layers look at a window only: transformers 5 lists them in layer_types, version 4 says from
// which layer on.
void ParseQwenWindows(const Json& json, const std::string& path, ModelConfig* config) {
  if (!JsonBool(json, "use_sliding_window", path, false)) return;
  Defaults defaults;
  defaults.window = 4096;
  const int64_t window = ParseWindow(json, path, defaults);
  if (window == 0) return;
  config->attention_windows.assign(config->num_layers, 0);
  if (!Present(json, "layer_types")) {
    const int64_t full = IntInRange(json, "max_window_layers", 0, 4096, path, 28);
    for (int64_t layer = full; layer < config->num_layers; ++layer) {
      config->attention_windows[static_cast<size_t>(layer)] = window;
    }
    return;
  }
  const Json& types = json["layer_types"];
  SQ_CHECK(types.is_array() && static_cast<int64_t>(types.size()) == config->num_layers, path,
           ": \"layer_types\": expected a list of ", config->num_layers, " names");
  for (size_t layer = 0; layer < types.size(); ++layer) {
    const bool sliding = types[layer] == "sliding_attention";
    SQ_CHECK(sliding || types[layer] == "full_attention", path,
             ": \"layer_types\": not supported: expected full_attention or sliding_attention, "
             "found ",
             types[layer].dump());
    if (sliding) config->attention_windows[layer] = window;
  }
}

void ParseQwen2(const Json& json, const std::string& path, ModelConfig* config) {
  Defaults defaults;
  defaults.kv_heads = 32;
  ParseRotaryFamily(json, path, defaults, config);
  config->qkv_bias = true;
  ParseQwenWindows(json, path, config);
}

void ParseQwen3(const Json& json, const std::string& path, ModelConfig* config) {
  Defaults defaults;
  defaults.kv_heads = 32;
  defaults.head_dim = 128;
  ParseRotaryFamily(json, path, defaults, config);
  config->qkv_bias = config->attention_out_bias = JsonBool(json, "attention_bias", path, false);
  ParseQwenWindows(json, path, config);
}

void ParseOpt(const Json& json, const std::string& path, ModelConfig* config) {
  ParseSizes(json, path, {}, config);
  config->intermediate_size = IntInRange(json, "ffn_dim", 1, kMaxWidth, path);
  config->norm_epsilon = 1e-5;  // LayerNorm's default; not in the file
  config->tie_word_embeddings = JsonBool(json, "tie_word_embeddings", path, true);
  config->activation = ParseActivation(json, "activation_function", path);
  config->qkv_bias = config->attention_out_bias = config->mlp_bias =
      JsonBool(json, "enable_bias", path, true);
  const int64_t embedding =
      IntInRange(json, "word_embed_proj_dim", 1, kMaxWidth, path, config->hidden_size);
  SQ_CHECK(embedding == config->hidden_size, path,
           ": \"word_embed_proj_dim\": not supported: expected hidden_size ", config->hidden_size,
           ", found ", embedding);
}

// A field that changes the computation, and its only value that is computed here.
struct FixedField {
  const char* name;
  Json value;  // an absent or null field counts as this
};

struct Family {
  const char* model_type;
  void (*parse)(const Json& json, const std::string& path, ModelConfig* config);
  std::vector<FixedField> fixed;
};

const std::vector<Family>& Families() {
  static const std::vector<Family> families = {
      {"llama", ParseLlama, {}},
      {"mistral", ParseMistral, {}},
      {"qwen2", ParseQwen2, {}},
      {"qwen3", ParseQwen3, {}},
      {"opt",
       ParseOpt,
       {{"do_layer_norm_before", true},
        {"_remove_final_layer_norm", false},
        {"layer_norm_elementwise_affine", true}}},
  };
  return families;
}

// Of all families: what relatives of theirs (Granite, Gemma, Phi, mixtures of experts) turn on.
const std::vector<FixedField>& CommonFixedFields() {
  static const std::vector<FixedField> fields = {{"partial_rotary_factor", 1.0},
                                                 {"attn_logit_softcapping", nullptr},
                                                 {"final_logit_softcapping", nullptr},
                                                 {"embedding_multiplier", 1.0},
                                                 {"residual_multiplier", 1.0},
                                                 {"attention_multiplier", nullptr},
                                                 {"logits_scaling", 1.0},
                                                 {"num_local_experts", nullptr},
                                                 {"num_experts", nullptr}};
  return fields;
}

void CheckFixedFields(const Json& json, const std::string& path,
                      const std::vector<FixedField>& fields) {
  for (const FixedField& field : fields) {
    if (!Present(json, field.name)) continue;
    SQ_CHECK(json[field.name] == field.value, path, ": \"", field.name,
             "\": not supported: expected ", field.value.dump(), ", found ",
             json[field.name].dump());
  }
}

}  // namespace

ModelConfig ParseModelConfig(const std::string& text, const std::string& path,
                             const std::vector<std::string>& ignored) {
  Json json = ParseJson(text, path);
  for (const std::string& name : ignored) EraseField(&json, name);
  ModelConfig config;
  config.model_type = JsonString(json, "model_type", path);
  const Family* family = nullptr;
  std::string known;
  for (const Family& row : Families()) {
    if (config.model_type == row.model_type) family = &row;
    known += (known.empty() ? "" : ", ") + std::string(row.model_type);
  }
  SQ_CHECK(family != nullptr, path, ": \"model_type\": not supported: expected one of ", known,
           ", found ", Quoted(config.model_type));
  CheckFixedFields(json, path, CommonFixedFields());
  CheckFixedFields(json, path, family->fixed);
  family->parse(json, path, &config);
  const std::vector<int> bos = TokenIds(json, "bos_token_id", path);
  if (!bos.empty()) config.bos_token_id = bos.front();
  config.eos_token_ids = TokenIds(json, "eos_token_id", path);
  config.quantized_bits = QuantizedBits(json, path);
  return config;
}

ModelConfig ReadModelConfig(const std::string& folder, const std::vector<std::string>& ignored) {
  const std::filesystem::path base(folder);
  SQ_CHECK(std::filesystem::is_directory(base), folder, ": no such folder");
  const std::string path = base / "config.json";
  ModelConfig config = ParseModelConfig(ReadFile(path, kMaxConfigBytes), path, ignored);
  const std::string generation = base / "generation_config.json";
  if (std::filesystem::exists(generation)) {
    const Json json = ReadJsonFile(generation, kMaxConfigBytes);
    SQ_CHECK(json.is_object(), generation, ": expected an object, found ", JsonTypeName(json));
    const std::vector<int> eos = TokenIds(json, "eos_token_id", generation);
    if (!eos.empty()) config.eos_token_ids = eos;
  }
  return config;
}

}  // namespace sq
