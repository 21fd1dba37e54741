// The quantization stage: turns the matrices of a decoder layer into packed layers, each with the
// bit width that a plan assigns to it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "sq/model/model.h"
#include "sq/pipeline/quantize_options.h"
#include "sq/pipeline/run_folder.h"
#include "sq/quant/quantize_layer.h"

namespace sq {

// Bits of every linear layer, by decoder layer and in the order of LayerLinears.
using BitPlan = std::vector<std::vector<int>>;

BitPlan UniformBits(const ModelConfig& config, int bits);

// Sensitivities of the matrices of a decoder layer in the order of LayerLinears: fp32 [out, in], in
// host memory. Empty: all weights have equal sensitivity.
using LayerSensitivity = std::vector<at::Tensor>;

class QuantizeStage {
 public:
  // `model` and `run` must outlive it.
  QuantizeStage(const Model& model, const QuantizeModelOptions& options, BitPlan plan,
                const RunFolder& run);

  // Quantizes the matrices of one decoder layer and writes them to the run folder.
  void Run(int64_t layer, const LayerSensitivity& sensitivity) const;

 private:
  QuantizedLayer Quantize(const LinearInfo& linear, int bits, const at::Tensor& sensitivity) const;

  const Model& model_;
  QuantizeOptions options_;
  BitPlan plan_;
  const RunFolder& run_;
};

// Adds per-matrix statistics and their totals to the report of a run.
void ReportLayers(const RunFolder& run, int64_t layers, nlohmann::ordered_json* report);

}  // namespace sq
