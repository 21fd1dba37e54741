// Quantized checkpoints as vLLM takes them: what `sq-pack export --format vllm` does.
#pragma once

#include <string>

#include "sq/model/transformer.h"

namespace sq {

// Quantized folder -> folder for vLLM, for the plugin in tools/serving as for the loader that vLLM
// 0.2 to 0.5 brought along: every layer checked, the same tensors less `startrows` (a name unknown
// to both), and the width in config.json by the names that either looks for ("bits", "wbits"). Logs
// a warning that says why when the model is one that the old loader refuses: it takes 4 bits
// without outliers alone. Throws sq::Error when layers differ in width, which neither takes.
void ExportVllm(const std::string& folder, const std::string& output, const OpenOptions& open = {});

}  // namespace sq
