#include "sq/checkpoint/quantized_config.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/base/output_file.h"

namespace sq {
namespace {

void WriteConfigs(const nlohmann::ordered_json& config, int bits, const std::string& folder) {
  const std::filesystem::path to(folder);
  WriteFile(to / "config.json", JsonText(config) + "\n");
  const nlohmann::ordered_json quant_config = {{"wbits", bits}};
  WriteFile(to / "quant_config.json", quant_config.dump(2) + "\n");
}

}  // namespace

nlohmann::ordered_json CarriedConfig(const std::string& source, bool own_head) {
  const std::string path = std::filesystem::path(source) / "config.json";
  const nlohmann::json read = ReadJsonFile(path);
  SQ_CHECK(read.is_object(), path, ": expected an object, found ", JsonTypeName(read));
  nlohmann::ordered_json config = nlohmann::ordered_json::object();
  for (const auto& [key, value] : read.items()) config[key] = value;
  if (own_head) config["tie_word_embeddings"] = false;
  return config;
}

void WriteQuantizedConfig(const std::string& source, const std::string& folder,
                          const QuantizationInfo& info) {
  nlohmann::ordered_json config = CarriedConfig(source, info.own_head);
  config["quantization_config"] = {{"quant_method", "squeezellm"},
                                   {"bits", info.bits},
                                   {"sensitive_fraction", info.sensitive_fraction},
                                   {"outlier_fraction", info.outlier_fraction},
                                   {"modules_to_not_convert", {"lm_head"}}};
  WriteConfigs(config, info.bits, folder);
}

void WriteVllmConfig(const std::string& source, const std::string& folder, int bits,
                     bool own_head) {
  nlohmann::ordered_json config = CarriedConfig(source, own_head);
  config["quantization_config"]["wbits"] = bits;
  WriteConfigs(config, bits, folder);
}

}  // namespace sq
