#include "sq/calib/fisher.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/model/matmul_precision.h"

namespace sq {
namespace {

constexpr int64_t kLossTokens = 128;  // logits of so many tokens at once: [128, vocab]
constexpr int64_t kDeviceLossTokens = 1024;
constexpr int64_t kMinGroup = 4;  // samples whose activations and gradients are held together

// While it lives, attention on a device is LibTorch's plain one: the fused ones add up a gradient
// in no set order.
class PlainAttention {
 public:
  explicit PlainAttention(const Device& device) : set_(device.cuda) {
    if (set_) Allow(false);
  }
  ~PlainAttention() {
    if (set_) Allow(true);
  }
  PlainAttention(const PlainAttention&) = delete;
  PlainAttention& operator=(const PlainAttention&) = delete;

 private:
  static void Allow(bool fused) {
    at::globalContext().setSDPUseFlash(fused);
    at::globalContext().setSDPUseMemEfficient(fused);
    at::globalContext().setSDPUseCuDNN(fused);
  }
  bool set_;
};

}  // namespace

FisherPass::FisherPass(const Model& model, std::vector<std::vector<int32_t>> samples,
                       const FisherOptions& options)
    : model_(model),
      samples_(std::move(samples)),
      options_(options),
      loader_(model, PassWeights(options.device, options.bfloat16), options.device) {
  SQ_CHECK(!samples_.empty(), "no calibration samples");
  for (size_t s = 0; s < samples_.size(); ++s) {
    SQ_CHECK(samples_[s].size() >= 2, "calibration sample ", s,
             ": expected at least 2 tokens, found ", samples_[s].size());
  }
  pass_ = SequencePass(model, samples_, options.device);
  // One more slot than layers: the last holds the output of the last layer.
  inputs_ = std::make_unique<ActivationStore>(model.config.num_layers + 1, pass_.tokens(),
                                              model.config.hidden_size, options.activations,
                                              options.device);
}

void FisherPass::Forward(int64_t layers, const Progress& progress) {
  const MatmulPrecision precision(options_.bfloat16);
  pass_.Embed(inputs_->Slot(0));
  ForEachLayer(
      &loader_, layers, options_.device,
      [&](int64_t layer, const DecoderLayer& weights) {
        pass_.Forward(weights, inputs_->Slot(layer), inputs_->Slot(layer + 1));
      },
      progress);
}

double FisherPass::Loss() {
  const MatmulPrecision precision(options_.bfloat16);
  const Device& device = options_.device;
  const int64_t tokens_at_once = device.cuda ? kDeviceLossTokens : kLossTokens;
  const Head head = LoadHead(model_, DenseWeights::kFloat, device);
  const at::Tensor output = inputs_->Slot(model_.config.num_layers);
  gradient_ = at::zeros_like(output);
  std::vector<double> losses(samples_.size());
  DeviceFor(device, static_cast<int64_t>(samples_.size()), [&](int64_t s) {
    const at::Tensor hidden = pass_.Rows(output, static_cast<size_t>(s)),
                     gradient = pass_.Rows(gradient_, static_cast<size_t>(s));
    // The token at position t is predicted from position t - 1: the last position predicts nothing.
    const int64_t predictions = hidden.size(0) - 1;
    const std::vector<int64_t> ids(samples_[s].begin(), samples_[s].end());
    const at::Tensor targets = at::tensor(ids).to(TensorDevice(device)).narrow(0, 1, predictions);
    for (int64_t begin = 0; begin < predictions; begin += tokens_at_once) {
      const int64_t tokens = std::min(tokens_at_once, predictions - begin);
      const c10::AutoGradMode with_grad(true);
      const at::Tensor in =
          hidden.narrow(0, begin, tokens).to(TensorDevice(device)).detach().requires_grad_(true);
      const at::Tensor logits = Logits(head, FinalNorm(model_.config, head, in));
      const at::Tensor sum = at::cross_entropy_loss(logits, targets.narrow(0, begin, tokens),
                                                    /*weight=*/{}, at::Reduction::Sum);
      const at::Tensor loss = sum / static_cast<double>(predictions);
      losses[s] += loss.item<double>();
      const auto gradients = torch::autograd::grad({loss}, {in});
      const c10::NoGradGuard no_grad;
      gradient.narrow(0, begin, tokens).copy_(gradients[0]);
    }
  });
  inputs_->Drop(model_.config.num_layers);
  double total = 0;
  for (const double loss : losses) total += loss;
  return total / static_cast<double>(samples_.size());
}

void FisherPass::BackwardBatch(const DecoderLayer& layer, const SequenceBatch& batch,
                               const at::Tensor& inputs, LayerSamples* samples) {
  const c10::AutoGradMode with_grad(true);
  const at::Device where = TensorDevice(options_.device);
  const at::Tensor in = pass_.Rows(inputs, batch).to(where).detach().requires_grad_(true);
  const at::Tensor gradient = pass_.Rows(gradient_, batch);
  const std::vector<int64_t> shape = {batch.count, batch.length, -1};
  const auto watch = [&](size_t index, const Linear& linear, const at::Tensor& x) {
    const at::Tensor y = ApplyLinear(linear, x);
    if (samples == nullptr) return y;
    LinearSamples& slot = (*samples)[index];
    const at::ScalarType type = linear.dense().scalar_type();
    slot.input = x.detach().to(type);
    y.register_hook(
        [&slot, type](const at::Tensor& grad) { slot.output_gradient = grad.to(type); });
    return y;
  };
  const at::Tensor out = DecoderForward(model_.config, layer, in.view(shape), pass_.Rope(batch),
                                        /*cache=*/nullptr, watch);
  // A copy: the hooks keep what they are given, and the last linear layer is given this very
  // tensor, which is overwritten below.
  const auto gradients =
      torch::autograd::grad({out}, {in}, {gradient.to(where).view(shape).clone()});
  const c10::NoGradGuard no_grad;
  gradient.copy_(gradients[0]);
}

void FisherPass::Backward(int64_t layer, LayerStatistics* statistics) {
  const MatmulPrecision precision(options_.bfloat16);
  const Device& device = options_.device;
  const PlainAttention plain(device);
  const DecoderLayer weights = loader_.Load(layer, layer - 1);
  const at::Tensor inputs = inputs_->Slot(layer);
  const std::vector<SequenceBatch>& batches = pass_.batches();
  const int64_t count = static_cast<int64_t>(batches.size());
  const int64_t group = device.cuda ? 1 : std::max<int64_t>(kMinGroup, ThreadCount());
  for (int64_t first = 0; first < count; first += group) {
    const int64_t members = std::min(group, count - first);
    std::vector<LayerSamples> samples(static_cast<size_t>(members),
                                      LayerSamples(weights.linears.size()));
    DeviceFor(device, members, [&](int64_t member) {
      BackwardBatch(weights, batches[static_cast<size_t>(first + member)], inputs,
                    statistics == nullptr ? nullptr : &samples[static_cast<size_t>(member)]);
    });
    if (statistics != nullptr) statistics->Add(samples);
  }
  inputs_->Drop(layer);
  Synchronize(device);
}

void FisherPass::set_gradient(const at::Tensor& gradient) {
  SQ_CHECK(gradient.sizes() == at::IntArrayRef({pass_.tokens(), model_.config.hidden_size}),
           "saved gradient: expected ", pass_.tokens(), " rows of ", model_.config.hidden_size);
  gradient_ = gradient.to(inputs_->Slot(0).device());
}

}  // namespace sq
