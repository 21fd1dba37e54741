// Logits of a few tokens after each of many prompts that begin alike, one decoder layer at a time,
// so that a model larger than memory can be evaluated.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "sq/model/device.h"
#include "sq/model/transformer.h"

namespace sq {

struct NextTokenOptions {
  Device device;
  bool bfloat16 = false;  // on a device: dense products round their operands to bfloat16
  int64_t max_bytes = 0;  // for activations; the layers are run several times over parts of the
                          // prompts when they need more. 0: no bound
  // Called with layers done and layers in all, first with none done.
  std::function<void(int64_t, int64_t)> progress;
};

using Prompts = std::vector<std::vector<int32_t>>;

// For each group of prompts, the logits of `candidates` as the token after each: fp32 [prompts,
// candidates], in the host's memory. What all prompts of a group begin with is computed once, and
// the rest of several prompts in one forward, padded at the right to one length: whatever they
// share costs nothing, so groups should be of prompts that begin alike. No prompt may be empty. The
// same values for any number of threads and `max_bytes`.
std::vector<at::Tensor> NextTokenLogits(const Model& model, const std::vector<Prompts>& groups,
                                        const std::vector<int32_t>& candidates,
                                        const NextTokenOptions& options);

}  // namespace sq
