// The configuration files of a quantized folder.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace sq {

// How the layers of a folder were quantized.
struct QuantizationInfo {
  int bits = 0;                   // the width of all layers (the default where they differ)
  double sensitive_fraction = 0;  // of each matrix's weights, kept exact for their sensitivity
  double outlier_fraction = 0;    // of each matrix's weights, kept exact for their magnitude
  bool own_head = false;          // see CarriedConfig
};

// The config.json of the folder `source`, for a folder with the same tensors. With `own_head` the
// LM head is stored separately, and "tie_word_embeddings" is set to false. Throws sq::Error when
// the file is missing or not an object.
nlohmann::ordered_json CarriedConfig(const std::string& source, bool own_head);

// Writes to `folder`: config.json, the CarriedConfig of `source` with "quantization_config" added,
// and quant_config.json, which vLLM's loader of the original format reads.
void WriteQuantizedConfig(const std::string& source, const std::string& folder,
                          const QuantizationInfo& info);

// The same for a folder that is quantized already, with the width where vLLM 0.2 to 0.5 look for it
// too.
void WriteVllmConfig(const std::string& source, const std::string& folder, int bits, bool own_head);

}  // namespace sq
