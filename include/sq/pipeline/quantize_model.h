// A Hugging Face checkpoint in, a quantized one out: what sq-quantize does. Reads top to bottom in
// quantize_model.cc: calibration, then for each decoder layer its Fisher information and its packed
// matrices, then the output folder.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "sq/pipeline/quantize_options.h"

namespace sq {

// Runs it and returns the report that also lies in the output as report.json. Throws sq::Error, and
// Interrupted when stopped by a signal: then the work folder holds what is finished.
nlohmann::ordered_json QuantizeModel(const QuantizeModelOptions& options);

}  // namespace sq
