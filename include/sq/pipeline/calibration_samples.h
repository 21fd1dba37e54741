// Calibration samples by the name that the command line gives their source.
#pragma once

#include <cstdint>
#include <vector>

#include "sq/model/transformer.h"
#include "sq/pipeline/quantize_options.h"

namespace sq {

// What the tokenizer of a model's folder puts before a text (BOS), and so before each sample of
// `self`; nothing when the folder has no tokenizer.
std::vector<int32_t> SelfPrefix(const std::string& folder);

// Token ids of the samples that `options` asks for (calibration, data_dir, text_field, samples,
// sequence_length, seed). Throws sq::Error when the source is missing or has no sample of that
// length.
std::vector<std::vector<int32_t>> LoadCalibration(const Model& model,
                                                  const QuantizeModelOptions& options);

}  // namespace sq
