// Calibration text that the model samples from itself: no data set needed. Nearly as good as C4 for
// the Fisher information of instruction-tuned and base models alike.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sq/model/device.h"
#include "sq/model/transformer.h"

namespace sq {

// `count` samples of `length` tokens: `prefix` (what the tokenizer puts before a text, may be
// empty), then a token drawn evenly from the vocabulary, then tokens drawn from the model's own
// distribution at temperature 1, on over the ends of texts. The same samples for the same seed at
// any thread count, though not on another kind of device. Keeps the whole model in its memory.
// `progress` is called now and then with the number of tokens drawn.
std::vector<std::vector<int32_t>> SampleFromModel(const Model& model,
                                                  const std::vector<int32_t>& prefix, int64_t count,
                                                  int64_t length, uint64_t seed,
                                                  const std::function<void(int64_t)>& progress,
                                                  const Device& device);

}  // namespace sq
