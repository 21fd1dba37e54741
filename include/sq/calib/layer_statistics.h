// What calibration keeps of each linear layer. The backward pass (fisher.h) hands over the inputs
// and output gradients of a decoder layer's linear layers; what becomes of them is said here.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "sq/checkpoint/architecture.h"
#include "sq/model/device.h"

namespace sq {

// What the samples of one batch show of one linear layer, in the type of its weight.
struct LinearSamples {
  at::Tensor input;            // [samples, tokens, in]
  at::Tensor output_gradient;  // [samples, tokens, out]: of the sample's loss
};

// Of all linear layers of a decoder layer, in the order of LayerLinears.
using LayerSamples = std::vector<LinearSamples>;

class LayerStatistics {
 public:
  virtual ~LayerStatistics() = default;

  // Takes further batches, called with all of them in the order of their samples. Runs on all
  // threads, or is queued on the device.
  virtual void Add(const std::vector<LayerSamples>& batches) = 0;
};

// The diagonal of the empirical Fisher information of each weight: squared gradients, summed over
// samples in their order, so that results do not depend on the number of threads.
class SquaredGradients : public LayerStatistics {
 public:
  SquaredGradients(const std::vector<LinearInfo>& linears, const Device& device);

  void Add(const std::vector<LayerSamples>& batches) override;

  // One matrix a linear layer: fp32 [out, in], in the host's memory. The end of its use.
  std::vector<at::Tensor> TakeMatrices();

 private:
  Device device_;
  std::vector<at::Tensor> matrices_;
};

}  // namespace sq
