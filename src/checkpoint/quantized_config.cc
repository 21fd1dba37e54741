#include "sq/checkpoint/quantized_config.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/base/output_file.h"

namespace sq {

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
  const std::filesystem::path to(folder);
  nlohmann::ordered_json config = CarriedConfig(source, info.own_head);
  config["quantization_config"] = {{"quant_method", "squeezellm"},
                                   {"bits", info.bits},
                                   {"sensitive_fraction", info.sensitive_fraction},
                                   {"outlier_fraction", info.outlier_fraction},
                                   {"modules_to_not_convert", {"lm_head"}}};
  WriteFile(to / "config.json", JsonText(config) + "\n");
  const nlohmann::ordered_json quant_config = {{"wbits", info.bits}};
  WriteFile(to / "quant_config.json", quant_config.dump(2) + "\n");
}

}  // namespace sq
