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

bool Present(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  return found != json.end() && !found->is_null();
}

// transformers 4 writes rope_theta and rope_scaling, transformers 5 an object rope_parameters that
// holds both.
Rope ParseRope(const Json& json, int64_t max_positions, const std::string& path) {
  const bool merged = Present(json, "rope_parameters");
  const std::string key = merged ? "rope_parameters" : "rope_scaling";
  const std::string where = path + ": \"" + key + "\"";
  Rope rope;
  rope.theta = PositiveDouble(json, "rope_theta", path, 10000.0);
  if (!Present(json, key)) return rope;
  const Json& scaling = JsonMember(json, key, path);
  if (merged) rope.theta = PositiveDouble(scaling, "rope_theta", where, rope.theta);
  std::optional<std::string> fallback;
  if (merged) fallback = "default";  // as in transformers 5; version 4 wants a type
  const std::string type = Present(scaling, "rope_type")
                               ? JsonString(scaling, "rope_type", where)
                               : JsonString(scaling, "type", where, fallback);
  if (type == "default") return rope;
  SQ_CHECK(type == "linear" || type == "llama3", where,
           ": rope type not supported: expected default, linear or llama3, found ", type);
  rope.factor = PositiveDouble(scaling, "factor", where);
  rope.scaling = type == "linear" ? Rope::Scaling::kLinear : Rope::Scaling::kLlama3;
  if (rope.scaling == Rope::Scaling::kLinear) return rope;
  rope.low_freq_factor = PositiveDouble(scaling, "low_freq_factor", where);
  rope.high_freq_factor = PositiveDouble(scaling, "high_freq_factor", where);
  rope.original_max_positions = PositiveDouble(scaling, "original_max_position_embeddings", where,
                                               static_cast<double>(max_positions));
  SQ_CHECK(rope.low_freq_factor < rope.high_freq_factor, where,
           ": expected low_freq_factor below high_freq_factor");
  return rope;
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

}  // namespace

ModelConfig ParseModelConfig(const std::string& text, const std::string& path) {
  const Json json = ParseJson(text, path);
  ModelConfig config;
  config.model_type = JsonString(json, "model_type", path);
  SQ_CHECK(config.model_type == "llama", path,
           ": \"model_type\": not supported: expected llama, found ", config.model_type);
  constexpr int64_t kMaxWidth =
      1 << 20;  // far above any model; keeps products of two inside 64 bits
  config.hidden_size = IntInRange(json, "hidden_size", 1, kMaxWidth, path);
  config.intermediate_size = IntInRange(json, "intermediate_size", 1, kMaxWidth, path);
  config.num_layers = IntInRange(json, "num_hidden_layers", 1, 4096, path);
  config.num_heads = IntInRange(json, "num_attention_heads", 1, 65536, path);
  config.num_kv_heads =
      IntInRange(json, "num_key_value_heads", 1, config.num_heads, path, config.num_heads);
  SQ_CHECK(config.num_heads % config.num_kv_heads == 0, path,
           ": \"num_key_value_heads\": expected a divisor of ", config.num_heads, ", found ",
           config.num_kv_heads);
  SQ_CHECK(Present(json, "head_dim") || config.hidden_size % config.num_heads == 0, path,
           ": \"num_attention_heads\": expected a divisor of hidden_size ", config.hidden_size,
           ", found ", config.num_heads);
  config.head_dim =
      IntInRange(json, "head_dim", 1, 65536, path, config.hidden_size / config.num_heads);
  SQ_CHECK(config.head_dim % 2 == 0, path, ": \"head_dim\": expected an even number, found ",
           config.head_dim);
  config.vocab_size = IntInRange(json, "vocab_size", 1, int64_t{1} << 24, path);
  config.max_positions =
      IntInRange(json, "max_position_embeddings", 1, int64_t{1} << 32, path, 2048);
  config.norm_epsilon = PositiveDouble(json, "rms_norm_eps", path, 1e-6);
  config.rope = ParseRope(json, config.max_positions, path);
  config.tie_word_embeddings = JsonBool(json, "tie_word_embeddings", path, false);
  config.attention_bias = JsonBool(json, "attention_bias", path, false);
  config.mlp_bias = JsonBool(json, "mlp_bias", path, false);
  const std::string activation = JsonString(json, "hidden_act", path, "silu");
  SQ_CHECK(activation == "silu", path, ": \"hidden_act\": not supported: expected silu, found ",
           activation);
  const std::vector<int> bos = TokenIds(json, "bos_token_id", path);
  if (!bos.empty()) config.bos_token_id = bos.front();
  config.eos_token_ids = TokenIds(json, "eos_token_id", path);
  config.quantized_bits = QuantizedBits(json, path);
  return config;
}

ModelConfig ReadModelConfig(const std::string& folder) {
  const std::filesystem::path base(folder);
  SQ_CHECK(std::filesystem::is_directory(base), folder, ": no such folder");
  const std::string path = base / "config.json";
  ModelConfig config = ParseModelConfig(ReadFile(path, kMaxConfigBytes), path);
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
