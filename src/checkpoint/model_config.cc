#include "sq/checkpoint/model_config.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/checkpoint/architecture.h"
#include "sq/checkpoint/config_fields.h"

namespace sq {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxConfigBytes = 16 << 20;

// What ParseRope reads, and a rotary embedding of a part of each head, which is not computed.
void MarkRope(ConfigFields* fields) {
  fields->MarkRead(
      {"rope_scaling", "rope_parameters", "rope_theta", "original_max_position_embeddings"});
  fields->Fixed("partial_rotary_factor", {1.0, nullptr});
}

// The width of quantized layers; 0: they are not. Not read: how outliers were chosen, and what the
// loaders of others look for.
int ParseQuantization(ConfigFields* fields) {
  const std::string name = "quantization_config";
  const Json* found = fields->Find(name);
  if (found == nullptr || (found->is_object() && found->empty())) return 0;
  ConfigFields quantization(*found, fields->where() + ": " + Quoted(name));
  const std::string method = quantization.String("quant_method");
  SQ_CHECK(method == "squeezellm", quantization.where(),
           ": quantization method not supported: expected squeezellm, found ", Quoted(method));
  const int64_t bits = quantization.Int("bits", 2, 4);
  quantization.CheckRest(
      {"sensitive_fraction", "outlier_fraction", "modules_to_not_convert", "wbits"}, name + ".");
  return static_cast<int>(bits);
}

}  // namespace

ModelConfig ParseModelConfig(const std::string& text, const std::string& path,
                             const std::vector<std::string>& ignored) {
  Json json = ParseJson(text, path);
  for (const std::string& name : ignored) EraseField(&json, name);
  JsonMember(json, "model_type", path);  // without which it is no model's
  ConfigFields fields(json, path);
  const std::string model_type = fields.String("model_type");
  ModelConfig config;
  config.architecture = FindArchitecture(model_type);
  SQ_CHECK(config.architecture != nullptr, path,
           ": \"model_type\": not supported: expected one of ", KnownArchitectures(), ", found ",
           Quoted(model_type));
  CheckFixedFields(CommonFixedFields(), &fields);
  config.architecture->parse(&fields, &config);
  CheckFixedFields(config.architecture->fixed_fields, &fields);
  if (config.architecture->positions == nullptr) {
    MarkRope(&fields);
    config.rope = ParseRope(json, config.max_positions, config.head_dim, path);
  }
  config.quantized_bits = ParseQuantization(&fields);
  fields.CheckRest(HarmlessFields());
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
    const std::vector<int> eos = ConfigFields(json, generation).TokenIds("eos_token_id");
    if (!eos.empty()) config.eos_token_ids = eos;
  }
  return config;
}

}  // namespace sq
