#include "sq/eval/decoding_speed.h"

#include <ATen/ops/log_softmax.h>

#include <algorithm>
#include <cmath>

#include "sq/base/error.h"
#include "sq/base/stopwatch.h"

namespace sq {
DecodingSpeed MeasureDecoding(const std::shared_ptr<const LoadedModel>& loaded,
                              const std::vector<std::vector<int32_t>>& ids, bool losses,
                              const std::function<void(int64_t)>& step_done) {
  SQ_CHECK(!ids.empty() && ids[0].size() >= (losses ? 2u : 1u), "decoding: expected at least ",
           losses ? 2 : 1, " tokens");
  for (const auto& sequence : ids) SQ_DCHECK(sequence.size() == ids[0].size());
  const size_t tokens = ids[0].size();
  Decoder decoder(loaded, static_cast<int64_t>(ids.size()), static_cast<int64_t>(tokens));
  DecodingSpeed speed;
  if (losses) speed.nll.assign(ids.size(), 0);
  std::vector<std::vector<int32_t>> step(ids.size());
  for (size_t s = 0; s < ids.size(); ++s) step[s] = {ids[s][0]};
  decoder.Step(step);
  decoder.Reset();
  for (size_t t = 0; t < tokens; ++t) {
    for (size_t s = 0; s < ids.size(); ++s) step[s] = {ids[s][t]};
    const Stopwatch watch;
    const at::Tensor logits = decoder.Step(step);
    speed.seconds.push_back(watch.Seconds());
    if (losses && t + 1 < tokens) {
      const at::Tensor log_probabilities = at::log_softmax(logits, 1);
      for (size_t s = 0; s < ids.size(); ++s) {
        speed.nll[s] -= log_probabilities[static_cast<int64_t>(s)][ids[s][t + 1]].item<double>();
      }
    }
    if (step_done) step_done(static_cast<int64_t>(t) + 1);
  }
  for (double& nll : speed.nll) nll /= static_cast<double>(tokens - 1);
  return speed;
}

double Quantile(std::vector<double> values, double quantile) {
  SQ_DCHECK(!values.empty());
  const double rank = std::ceil(quantile * static_cast<double>(values.size()));
  const auto nth = values.begin() + std::max<int64_t>(static_cast<int64_t>(rank) - 1, 0);
  std::nth_element(values.begin(), nth, values.end());
  return *nth;
}

}  // namespace sq
