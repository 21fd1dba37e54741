#include "sq/eval/perplexity.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "sq/base/error.h"
#include "sq/model/batches.h"
#include "sq/model/layer_loader.h"

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

// Window w is rows begin[w] to begin[w + 1] of `hidden`.
WindowLosses RunWindows(const Model& model, const std::vector<std::vector<int32_t>>& windows,
                        const std::vector<int64_t>& begin, const PerplexityOptions& options,
                        const TakeLogits& logits, const at::Tensor& hidden) {
  const ModelConfig& config = model.config;
  const Device& device = options.device;
  const int64_t count = static_cast<int64_t>(windows.size());
  int64_t longest = 0;
  for (const auto& window : windows) {
    longest = std::max(longest, static_cast<int64_t>(window.size()));
  }
  const auto rows = [&](int64_t w) { return hidden.narrow(0, begin[w], begin[w + 1] - begin[w]); };
  DeviceFor(device, count, [&](int64_t w) { rows(w).copy_(EmbedTokens(model, windows[w])); });
  const RopeTables rope(config, longest, device);
  const std::vector<SequenceBatch> batches =
      BatchSequences(windows, device.cuda ? kDeviceTokens : 0);
  LayerLoader loader(
      model, device.cuda && options.bfloat16 ? DenseWeights::kBFloat16 : DenseWeights::kFloat,
      device);
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    const DecoderLayer weights = loader.Load(layer, layer + 1);
    DeviceFor(device, static_cast<int64_t>(batches.size()), [&](int64_t b) {
      const c10::NoGradGuard no_grad;
      const SequenceBatch& batch = batches[static_cast<size_t>(b)];
      const at::Tensor in = hidden.narrow(0, batch.begin, batch.count * batch.length);
      const at::Tensor out = DecoderForward(
          config, weights, in.to(TensorDevice(device)).view({batch.count, batch.length, -1}),
          rope.Rows(0, batch.length, batch.length));
      in.copy_(out.view(in.sizes()));
    });
    Synchronize(device);
    if (options.progress) options.progress(layer + 1, config.num_layers);
  }
  const Head head = LoadHead(model, DenseWeights::kFloat, device);
  WindowLosses losses;
  losses.nll.resize(windows.size());
  for (const auto& window : windows)
    losses.tokens.push_back(static_cast<int64_t>(window.size()) - 1);
  if (!logits) {
    DeviceFor(device, count, [&](int64_t w) {
      losses.nll[w] = WindowLoss(model, head, rows(w), windows[w], nullptr);
    });
    return losses;
  }
  for (int64_t w = 0; w < count; ++w) {
    at::Tensor out = at::empty({begin[w + 1] - begin[w], config.vocab_size}, at::kFloat);
    losses.nll[w] = WindowLoss(model, head, rows(w), windows[w], &out);
    logits(w, out);
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
  std::vector<int64_t> begin = {0};
  for (const auto& window : windows) {
    const int64_t size = static_cast<int64_t>(window.size());
    SQ_CHECK(size >= 2, "window ", begin.size() - 1, ": expected at least 2 tokens, found ", size);
    begin.push_back(begin.back() + size);
  }
  const ActivationStore store(1, begin.back(), model.config.hidden_size, options.activations,
                              options.device);
  WindowLosses losses;
  WithMemoryAdvice(store.MemoryAdvice(), [&] {
    losses = RunWindows(model, windows, begin, options, logits, store.Slot(0));
  });
  return losses;
}

}  // namespace sq
