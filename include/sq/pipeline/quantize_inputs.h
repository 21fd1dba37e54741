// What a quantization starts from: opened, read and checked before any of the work.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "sq/base/stopwatch.h"
#include "sq/model/transformer.h"
#include "sq/pipeline/quantize_options.h"

namespace sq {

struct QuantizeInputs {
  using Samples = std::vector<std::vector<int32_t>>;

  Model model;
  bool bfloat16 = false;           // the Fisher pass's products
  std::optional<Samples> samples;  // of a calibration text; none yet where the model is to
                                   // make its own
  double sampling_seconds = 0;
  std::optional<TensorStore> sensitivity;  // squared gradients that the user gives
  // All that decides the result, by what it is and not by where it lies: two runs with the same
  // request give the same bytes. Model and sensitivities by ContentDigest, samples by a checksum.
  nlohmann::ordered_json request;
};

// Throws sq::Error on whatever would end the run later: a model that cannot be quantized, a
// calibration text without a sample, sensitivities of another model; values that are not finite,
// unless the run `goes_on` with an interrupted one, which has seen them. Cost: reads all weights
// once for that, and keeps none.
QuantizeInputs PrepareInputs(const QuantizeModelOptions& options, bool goes_on = false);

}  // namespace sq
