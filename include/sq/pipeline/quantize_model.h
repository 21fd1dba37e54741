// A Hugging Face checkpoint in, a quantized one out: what sq-quantize does. Reads top to bottom in
// quantize_model.cc, by stages: inputs, calibration (calibrate.h), which hands each decoder layer's
// sensitivities to the quantization (quantize_stage.h), and the output folder. What a stage has
// finished lies in the run's folder (run_folder.h), from which an interrupted run goes on.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "sq/pipeline/quantize_options.h"

namespace sq {

// Runs it and returns the report that also lies in the output as report.json. Throws sq::Error, and
// Interrupted when stopped by a signal: then the work folder holds what is finished.
nlohmann::ordered_json QuantizeModel(const QuantizeModelOptions& options);

}  // namespace sq
