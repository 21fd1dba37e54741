// The calibration stage: determines the sensitivity of each weight, by a Fisher pass over
// calibration samples or from a folder of squared gradients.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>

#include "sq/pipeline/quantize_inputs.h"
#include "sq/pipeline/quantize_options.h"
#include "sq/pipeline/quantize_stage.h"
#include "sq/pipeline/run_folder.h"

namespace sq {

struct CalibrationReport {
  nlohmann::ordered_json json;  // source, samples, loss; null without a Fisher pass
  double fisher_seconds = 0;
};

// Receives the sensitivities of one decoder layer.
using TakeSensitivity = std::function<void(int64_t layer, const LayerSensitivity&)>;

// Calls `take` once for each decoder layer that `run` has not finished. A Fisher pass goes from the
// last layer to the first and resumes from the gradient saved in `run`; otherwise layers come from
// first to last. With options.save_sensitivity, the matrices of a Fisher pass are also written to
// the run folder. Throws Interrupted after a signal.
CalibrationReport Calibrate(QuantizeInputs inputs, const QuantizeModelOptions& options,
                            const RunFolder& run, const TakeSensitivity& take);

}  // namespace sq
