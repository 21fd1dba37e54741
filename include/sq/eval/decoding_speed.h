// How long a model takes for each token when it is decoded one token at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "sq/model/decoder.h"

namespace sq {

struct DecodingSpeed {
  std::vector<double> seconds;  // of each step: one token of every sequence, logits included
  std::vector<double> nll;      // of each sequence, nats per predicted token; empty when not wanted
};

// Feeds `ids`, sequences of one length, to a decoder token by token, after a step that does not
// count: it is the one that reads mapped weights from the disk. With `losses`, which are not
// part of the times, at least two tokens each. `step_done` is called with the steps done.
DecodingSpeed MeasureDecoding(const std::shared_ptr<const LoadedModel>& loaded,
                              const std::vector<std::vector<int32_t>>& ids, bool losses,
                              const std::function<void(int64_t)>& step_done);

// The value that the share `quantile` of `values` does not exceed: the nearest rank. The median of
// an even number is the lower of the two in the middle.
double Quantile(std::vector<double> values, double quantile);

}  // namespace sq
