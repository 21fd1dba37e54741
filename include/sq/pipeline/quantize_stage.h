// The stage that makes packed layers: each matrix of a decoder layer with the width that the plan
// gives it.
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

// Sensitivities of a decoder layer's matrices in the order of LayerLinears, fp32 [out, in] in the
// host's memory. Empty: all weights count the same.
using LayerSensitivity = std::vector<at::Tensor>;

class QuantizeStage {
 public:
  // `model` and `run` must outlive it.
  QuantizeStage(const Model& model, const QuantizeModelOptions& options, BitPlan plan,
                const RunFolder& run);

  // Quantizes the matrices of one decoder layer and writes them to the run's folder.
  void Run(int64_t layer, const LayerSensitivity& sensitivity) const;

 private:
  QuantizedLayer Quantize(const LinearInfo& linear, int bits, const at::Tensor& sensitivity) const;

  const Model& model_;
  QuantizeOptions options_;
  BitPlan plan_;
  const RunFolder& run_;
};

// Adds the statistics of all layers, and their sums, to a run's report.
void ReportLayers(const RunFolder& run, int64_t layers, nlohmann::ordered_json* report);

}  // namespace sq
