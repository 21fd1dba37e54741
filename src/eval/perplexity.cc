#include "sq/eval/perplexity.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "sq/base/error.h"
#include "sq/model/layer_pass.h"

namespace sq {
namespace {

constexpr int64_t kLossTokens = 256;  // logits of so many tokens at once: [256, vocab]

// `hidden`, [tokens, hidden], may lie elsewhere than the head.
double WindowLoss(const Model& model, const Head& head, const at::Tensor& hidden,
                  const std::vector<int32_t>& window, at::Tensor* all_logits) {
  const c10::NoGradGuard no_grad;
  const int64_t tokens = hidden.size(0), predictions = tokens - 1;
  const std::vector<int64_t> ids(window.begin(), window.end());
  const at::Device device = head.norm.weight.device();
  const at::Tensor targets = at::tensor(ids).to(device);
  double sum = 0;
  for (int64_t begin = 0; begin < tokens; begin += kLossTokens) {
    const int64_t count = std::min(kLossTokens, tokens - begin);
    const at::Tensor logits =
        Logits(head, FinalNorm(model.config, head, hidden.narrow(0, begin, count).to(device)));
    if (all_logits != nullptr) all_logits->narrow(0, begin, count).copy_(logits);
    // The last position of the window predicts nothing.
    const int64_t predicted = std::min(count, predictions - begin);
    if (predicted <= 0) continue;
    const at::Tensor losses =
        at::nll_loss(at::log_softmax(logits.narrow(0, 0, predicted), 1),
                     targets.narrow(0, begin + 1, predicted), /*weight=*/{}, at::Reduction::None);
    sum += losses.sum(at::kDouble).item<double>();
  }
  return sum / static_cast<double>(predictions);
}

WindowLosses RunWindows(const Model& model, const std::vector<std::vector<int32_t>>& windows,
                        const SequencePass& pass, const PerplexityOptions& options,
                        const TakeLogits& logits, const at::Tensor& hidden) {
  const ModelConfig& config = model.config;
  const Device& device = options.device;
  pass.Embed(hidden);
  LayerLoader loader(model, PassWeights(device, options.bfloat16), device);
  ForEachLayer(
      &loader, config.num_layers, device,
      [&](int64_t, const DecoderLayer& layer) { pass.Forward(layer, hidden, hidden); },
      [&](int64_t done) {
        if (options.progress) options.progress(done, config.num_layers);
      });
  const Head head = LoadHead(model, DenseWeights::kFloat, device);
  WindowLosses losses;
  losses.nll.resize(windows.size());
  for (const auto& window : windows) {
    losses.tokens.push_back(static_cast<int64_t>(window.size()) - 1);
  }
  if (!logits) {
    DeviceFor(device, static_cast<int64_t>(windows.size()), [&](int64_t i) {
      const auto w = static_cast<size_t>(i);
      losses.nll[w] = WindowLoss(model, head, pass.Rows(hidden, w), windows[w], nullptr);
    });
    return losses;
  }
  for (size_t w = 0; w < windows.size(); ++w) {
    const int64_t tokens = static_cast<int64_t>(windows[w].size());
    at::Tensor out = at::empty({tokens, config.vocab_size}, at::kFloat);
    losses.nll[w] = WindowLoss(model, head, pass.Rows(hidden, w), windows[w], &out);
    logits(static_cast<int64_t>(w), out);
  }
  return losses;
}

}  // namespace

double Perplexity(const WindowLosses& losses) {
  double sum = 0;
  for (const double nll : losses.nll) sum += nll;
  return std::exp(sum / static_cast<double>(losses.nll.size()));
}

WindowLosses EvaluateWindows(const Model& model, const std::vector<std::vector<int32_t>>& windows,
                             const PerplexityOptions& options, const TakeLogits& logits) {
  SQ_CHECK(!windows.empty(), "no tokens to evaluate");
  for (size_t w = 0; w < windows.size(); ++w) {
    SQ_CHECK(windows[w].size() >= 2, "window ", w, ": expected at least 2 tokens, found ",
             windows[w].size());
  }
  const SequencePass pass(model, windows, options.device);
  const ActivationStore store(1, pass.tokens(), model.config.hidden_size, options.activations,
                              options.device);
  WindowLosses losses;
  WithMemoryAdvice(store.MemoryAdvice(), [&] {
    losses = RunWindows(model, windows, pass, options, logits, store.Slot(0));
  });
  return losses;
}

}  // namespace sq
