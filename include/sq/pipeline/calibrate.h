// The stage that finds out how sensitive each weight is: by a Fisher pass over calibration samples,
// or from a folder of squared gradients that is there already.
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

// What is done with a decoder layer's sensitivities.
using TakeSensitivity = std::function<void(int64_t layer, const LayerSensitivity&)>;

// Calls `take` once for each decoder layer that `run` has not finished: from the last to the first
// in a Fisher pass, which goes on from the gradient that `run` has saved, else from the first to
// the last. With options.save_sensitivity the matrices of a Fisher pass also go to the run's
// folder. Throws Interrupted when that was asked for.
CalibrationReport Calibrate(QuantizeInputs inputs, const QuantizeModelOptions& options,
                            const RunFolder& run, const TakeSensitivity& take);

}  // namespace sq
