#include "sq/calib/fisher.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/model/matmul_precision.h"

namespace sq {
namespace {

constexpr int64_t kLossTokens = 128;  // logits of so many tokens at once: [128, vocab]
constexpr int64_t kFisherRows = 256;  // of a weight, for one thread: the product stays in its cache
constexpr int64_t kDeviceLossTokens = 1024;
constexpr int64_t kMinGroup = 4;  // samples whose activations and gradients are held together

// What the samples of one batch show of one linear layer.
struct Watched {
  at::Tensor input;            // [samples, tokens, in]
  at::Tensor output_gradient;  // [samples, tokens, out]
};
using WatchedLayer = std::array<Watched, kProjections>;

// Adds the squared gradients of the samples of all `batches`, in their order, to rows [begin, begin
// + count) of `fisher`.
void Accumulate(const std::vector<WatchedLayer>& batches, size_t projection, int64_t begin,
                int64_t count, at::Tensor* fisher) {
  const c10::NoGradGuard no_grad;
  at::Tensor rows = fisher->narrow(0, begin, count);
  for (const WatchedLayer& batch : batches) {
    const Watched& watched = batch[projection];
    for (int64_t sample = 0; sample < watched.input.size(0); ++sample) {
      const at::Tensor output_gradient = watched.output_gradient[sample];
      const at::Tensor gradient =
          FloatProduct(output_gradient.narrow(1, begin, count).t(), watched.input[sample]);
      rows.addcmul_(gradient, gradient);
    }
  }
}

// By way of page-locked memory, as a device copies fastest.
at::Tensor ToHost(const at::Tensor& tensor) {
  if (tensor.device().is_cpu()) return tensor;
  return at::empty(tensor.sizes(), at::TensorOptions().dtype(at::kFloat).pinned_memory(true))
      .copy_(tensor);
}

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
      batches_(BatchSequences(samples_, options.device.cuda ? kDeviceTokens : 0)),
      loader_(
          model,
          options.device.cuda && options.bfloat16 ? DenseWeights::kBFloat16 : DenseWeights::kFloat,
          options.device) {
  SQ_CHECK(!samples_.empty(), "no calibration samples");
  int64_t total = 0;
  for (const auto& sample : samples_) {
    SQ_CHECK(sample.size() >= 2, "calibration sample ", begin_.size(),
             ": expected at least 2 tokens, found ", sample.size());
    begin_.push_back(total);
    total += static_cast<int64_t>(sample.size());
  }
  begin_.push_back(total);
  // One more slot than layers: the last holds the output of the last layer.
  inputs_ = std::make_unique<ActivationStore>(model.config.num_layers + 1, total,
                                              model.config.hidden_size, options.activations,
                                              options.device);
}

at::Tensor FisherPass::SampleRows(const at::Tensor& tokens, size_t sample) const {
  return tokens.narrow(0, begin_[sample], begin_[sample + 1] - begin_[sample]);
}

at::Tensor FisherPass::BatchRows(const at::Tensor& tokens, const SequenceBatch& batch) const {
  return tokens.narrow(0, batch.begin, batch.count * batch.length);
}

void FisherPass::Forward(int64_t layers, const Progress& progress) {
  const MatmulPrecision precision(options_.bfloat16);
  const Device& device = options_.device;
  const at::Tensor embedded = inputs_->Slot(0);
  DeviceFor(device, static_cast<int64_t>(samples_.size()),
            [&](int64_t s) { SampleRows(embedded, s).copy_(EmbedTokens(model_, samples_[s])); });
  int64_t longest = 0;
  for (const auto& sample : samples_) longest = std::max<int64_t>(longest, sample.size());
  rope_ = RopeTables(model_.config, longest, device);
  for (int64_t layer = 0; layer < layers; ++layer) {
    const DecoderLayer weights = loader_.Load(layer, layer + 1 < layers ? layer + 1 : -1);
    const at::Tensor in = inputs_->Slot(layer), out = inputs_->Slot(layer + 1);
    DeviceFor(device, static_cast<int64_t>(batches_.size()), [&](int64_t b) {
      const c10::NoGradGuard no_grad;
      const SequenceBatch& batch = batches_[static_cast<size_t>(b)];
      const at::Tensor hidden =
          BatchRows(in, batch).to(TensorDevice(device)).view({batch.count, batch.length, -1});
      const at::Tensor result =
          DecoderForward(model_.config, weights, hidden, rope_.Rows(0, batch.length, batch.length));
      BatchRows(out, batch).copy_(result.view({batch.count * batch.length, -1}));
    });
    Synchronize(device);
    if (progress) progress(layer + 1);
  }
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
    const at::Tensor hidden = SampleRows(output, s), gradient = SampleRows(gradient_, s);
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

void FisherPass::Backward(int64_t layer, std::array<at::Tensor, kProjections>* fisher) {
  const MatmulPrecision precision(options_.bfloat16);
  const Device& device = options_.device;
  const at::Device where = TensorDevice(device);
  const PlainAttention plain(device);
  const DecoderLayer weights = loader_.Load(layer, layer - 1);
  if (fisher != nullptr) {
    for (const LinearInfo& info : LayerLinears(model_.config, layer)) {
      (*fisher)[static_cast<size_t>(info.projection)] =
          at::zeros({info.out_features, info.in_features},
                    at::TensorOptions().dtype(at::kFloat).device(where));
    }
  }
  const at::Tensor inputs = inputs_->Slot(layer);
  const int64_t count = static_cast<int64_t>(batches_.size());
  const int64_t group = device.cuda ? 1 : std::max<int64_t>(kMinGroup, ThreadCount());
  for (int64_t first = 0; first < count; first += group) {
    const int64_t members = std::min(group, count - first);
    std::vector<WatchedLayer> watched(static_cast<size_t>(members));
    DeviceFor(device, members, [&](int64_t member) {
      const SequenceBatch& batch = batches_[static_cast<size_t>(first + member)];
      WatchedLayer& seen = watched[static_cast<size_t>(member)];
      const c10::AutoGradMode with_grad(true);
      const at::Tensor in = BatchRows(inputs, batch).to(where).detach().requires_grad_(true);
      const at::Tensor gradient = BatchRows(gradient_, batch);
      const std::vector<int64_t> shape = {batch.count, batch.length, -1};
      const auto watch = [&](Projection projection, const Linear& linear, const at::Tensor& x) {
        const at::Tensor y = ApplyLinear(linear, x);
        if (fisher == nullptr) return y;
        Watched& slot = seen[static_cast<size_t>(projection)];
        const at::ScalarType type = linear.weight.scalar_type();
        slot.input = x.detach().to(type);
        y.register_hook(
            [&slot, type](const at::Tensor& grad) { slot.output_gradient = grad.to(type); });
        return y;
      };
      const at::Tensor out =
          DecoderForward(model_.config, weights, in.view(shape),
                         rope_.Rows(0, batch.length, batch.length), nullptr, watch);
      // A copy: the hooks keep what they are given, and the last projection is given this very
      // tensor, which is overwritten below.
      const auto gradients =
          torch::autograd::grad({out}, {in}, {gradient.to(where).view(shape).clone()});
      const c10::NoGradGuard no_grad;
      gradient.copy_(gradients[0]);
    });
    if (fisher == nullptr) continue;
    struct Block {
      size_t projection;
      int64_t begin, count;
    };
    std::vector<Block> blocks;
    for (const LinearInfo& info : LayerLinears(model_.config, layer)) {
      const size_t p = static_cast<size_t>(info.projection);
      const int64_t rows = info.out_features;
      const int64_t rows_at_once = device.cuda ? rows : kFisherRows;
      for (int64_t begin = 0; begin < rows; begin += rows_at_once) {
        blocks.push_back({p, begin, std::min(rows_at_once, rows - begin)});
      }
    }
    DeviceFor(device, static_cast<int64_t>(blocks.size()), [&](int64_t b) {
      const Block& block = blocks[static_cast<size_t>(b)];
      Accumulate(watched, block.projection, block.begin, block.count, &(*fisher)[block.projection]);
    });
  }
  inputs_->Drop(layer);
  Synchronize(device);
  if (fisher == nullptr) return;
  for (at::Tensor& matrix : *fisher) {
    if (matrix.defined()) matrix = ToHost(matrix);
  }
}

void FisherPass::set_gradient(const at::Tensor& gradient) {
  SQ_CHECK(gradient.sizes() == at::IntArrayRef({begin_.back(), model_.config.hidden_size}),
           "saved gradient: expected ", begin_.back(), " rows of ", model_.config.hidden_size);
  gradient_ = gradient.to(inputs_->Slot(0).device());
}

}  // namespace sq
