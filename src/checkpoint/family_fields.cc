#include "sq/checkpoint/family_fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"

namespace sq {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxPositions = int64_t{1} << 32;

}  // namespace

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

void ParseSizes(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config) {
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

void ParseHeads(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config) {
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

void ParsePlainHeads(ConfigFields* fields, ModelConfig* config) {
  SQ_CHECK(config->hidden_size % config->num_heads == 0, fields->where(),
           ": \"num_attention_heads\": expected a divisor of hidden_size ", config->hidden_size,
           ", found ", config->num_heads);
  config->head_dim = config->hidden_size / config->num_heads;
}

void ParseLlamaFields(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config) {
  ParseSizes(defaults, fields, config);
  ParseHeads(defaults, fields, config);
  config->intermediate_size = fields->Int("intermediate_size", 1, kMaxWidth);
  config->norm_epsilon = fields->PositiveDouble("rms_norm_eps", defaults.norm_epsilon);
  config->tie_word_embeddings = fields->Bool("tie_word_embeddings", false);
  config->activation = ParseActivation(fields, "hidden_act", "silu");
}

int64_t ParseWindow(const FieldDefaults& defaults, ConfigFields* fields) {
  const bool given = fields->Find("sliding_window") != nullptr;
  if (!given && (fields->Has("sliding_window") || defaults.window < 0)) return 0;
  return fields->Int("sliding_window", 1, kMaxPositions, defaults.window);
}

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

void ParseQwenWindows(const FieldDefaults& defaults, ConfigFields* fields, ModelConfig* config) {
  const bool use = fields->Bool("use_sliding_window", false);
  fields->MarkRead({"sliding_window", "max_window_layers"});
  const int64_t window = use ? ParseWindow(defaults, fields) : 0;
  if (ParseLayerTypes(window, fields, config) || window == 0) return;
  const int64_t full = fields->Int("max_window_layers", 0, 4096, 28);
  for (int64_t layer = 0; layer < config->num_layers; ++layer) {
    config->attention_windows.push_back(layer < full ? 0 : window);
  }
}

}  // namespace sq
