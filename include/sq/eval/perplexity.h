// Perplexity by the published protocol, one decoder layer at a time over all windows, so that a
// model larger than memory can be evaluated.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sq/model/activation_store.h"
#include "sq/model/device.h"
#include "sq/model/transformer.h"

namespace sq {

struct PerplexityOptions {
  Device device;
  bool bfloat16 = false;  // on a device: dense products round their operands to bfloat16
  ActivationMemory activations;
  // Called with layers done and layers in all.
  std::function<void(int64_t, int64_t)> progress;
};

struct WindowLosses {
  std::vector<double> nll;      // mean over a window's predicted tokens, in nats per token
  std::vector<int64_t> tokens;  // predicted tokens of each window
};

// exp of the mean over windows of each window's mean loss, as the original computes it.
double Perplexity(const WindowLosses& losses);

// Called with a window's index and its logits, fp32 [tokens, vocab] in the host's memory.
using TakeLogits = std::function<void(int64_t, const at::Tensor&)>;

// The loss of each window's tokens 1 .. n-1 given those before. Windows of at least two tokens
// each; they may differ in length. With `logits`, calls it one window at a time in order.
WindowLosses EvaluateWindows(const Model& model, const std::vector<std::vector<int32_t>>& windows,
                             const PerplexityOptions& options, const TakeLogits& logits = {});

}  // namespace sq
