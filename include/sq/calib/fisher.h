// The Fisher information of a model's linear layers, one decoder layer at a time: the sensitivities
// that quantization weighs errors with (SqueezeLLM, arXiv 2306.07629, section 4.1).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sq/calib/layer_statistics.h"
#include "sq/model/activation_store.h"
#include "sq/model/layer_pass.h"

namespace sq {

struct FisherOptions {
  Device device;
  bool bfloat16 = false;  // multiply in bfloat16, add in fp32; else all in fp32
  ActivationMemory activations;
};

// The diagonal of the empirical Fisher information: for each sample the gradient of the mean
// next-token loss with respect to each weight, squared, and summed over the samples.
//
// The forward pass keeps the input of every decoder layer; the backward pass takes the layers from
// the last to the first, recomputes one, differentiates it by LibTorch's autograd and drops it.
// Memory: one layer in fp32, its Fisher matrices, and tokens * hidden * 4 bytes per layer for the
// kept inputs. Every sum runs in the order of the samples, so results do not depend on the number
// of threads.
//
// On a device, samples of one length go through a layer several at a time, the next layer is read
// meanwhile, and attention is LibTorch's plain one, whose gradient is the same in every run.
class FisherPass {
 public:
  // Samples of at least two tokens each. `model` must outlive the pass, be dense, and hold fp32,
  // fp16 or bf16 weights.
  FisherPass(const Model& model, std::vector<std::vector<int32_t>> samples,
             const FisherOptions& options);
  FisherPass(const FisherPass&) = delete;
  FisherPass& operator=(const FisherPass&) = delete;

  // Called with the number of layers done, during Forward.
  using Progress = std::function<void(int64_t)>;

  // Runs the model up to layer `layers`, keeping each layer's input. All layers for a fresh pass;
  // on resuming, those that are still to be differentiated.
  void Forward(int64_t layers, const Progress& progress = {});

  // After Forward over all layers: the loss, and its gradient at the last layer's output. Returns
  // the mean loss over the samples, in nats per token.
  double Loss();

  // Differentiates layer `layer`, which must be the last one not done yet. With `statistics`, hands
  // it the inputs and output gradients of the layer's linear layers, some batches at a time.
  void Backward(int64_t layer, LayerStatistics* statistics);

  const Device& device() const { return options_.device; }

  // The gradient of the loss at the output of the next layer to be differentiated: fp32
  // [all samples' tokens, hidden] in the host's memory. Saved and set again, it is all that
  // Backward needs besides Forward.
  at::Tensor gradient() const { return gradient_.cpu(); }
  void set_gradient(const at::Tensor& gradient);

  // What to try when the device has no room for the pass, or for what runs beside it.
  std::string MemoryAdvice() const { return inputs_->MemoryAdvice(); }

 private:
  void BackwardBatch(const DecoderLayer& layer, const SequenceBatch& batch,
                     const at::Tensor& inputs, LayerSamples* samples);

  const Model& model_;
  std::vector<std::vector<int32_t>> samples_;
  FisherOptions options_;
  LayerLoader loader_;
  SequencePass pass_;
  // The input of each layer, then the output of the last.
  std::unique_ptr<ActivationStore> inputs_;
  at::Tensor gradient_;
};

}  // namespace sq
