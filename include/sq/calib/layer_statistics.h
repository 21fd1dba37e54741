// Calibration statistics of linear layers, accumulated from the inputs and output gradients that
// the backward pass (fisher.h) provides.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "sq/checkpoint/architecture.h"
#include "sq/model/device.h"

namespace sq {

// Input and output gradient of one linear layer for the samples of one batch, in the type of its
// weight.
struct LinearSamples {
  at::Tensor input;            // [samples, tokens, in]
  at::Tensor output_gradient;  // [samples, tokens, out]: of the sample's loss
};

// Of all linear layers of a decoder layer, in the order of LayerLinears.
using LayerSamples = std::vector<LinearSamples>;

class LayerStatistics {
 public:
  virtual ~LayerStatistics() = default;

  // Adds a group of batches. Groups arrive in sample order. Uses all threads, or enqueues on the
  // device.
  virtual void Add(const std::vector<LayerSamples>& batches) = 0;
};

// The diagonal of the empirical Fisher information of each weight: squared gradients, summed over
// samples in their order, so that results do not depend on the number of threads.
class SquaredGradients : public LayerStatistics {
 public:
  SquaredGradients(const std::vector<LinearInfo>& linears, const Device& device);

  void Add(const std::vector<LayerSamples>& batches) override;

  // One matrix per linear layer: fp32 [out, in], in host memory. The object must not be used
  // afterwards.
  std::vector<at::Tensor> TakeMatrices();

 private:
  Device device_;
  std::vector<at::Tensor> matrices_;
};

}  // namespace sq
