#include "sq/calib/fisher.h"

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
constexpr int64_t kMinGroup = 4;      // samples whose activations and gradients are held together

// What one sample shows of one linear layer.
struct Watched {
  at::Tensor input;            // [tokens, in]
  at::Tensor output_gradient;  // [tokens, out]
};
using WatchedLayer = std::array<Watched, kProjections>;

// Adds the squared gradients of `samples`, in their order, to rows [begin, begin + count) of
// `fisher`.
void Accumulate(const std::vector<WatchedLayer>& samples, size_t projection, int64_t begin,
                int64_t count, at::Tensor* fisher) {
  const c10::NoGradGuard no_grad;
  at::Tensor rows = fisher->narrow(0, begin, count);
  at::Tensor gradient = at::empty({count, fisher->size(1)}, at::kFloat);
  for (const WatchedLayer& sample : samples) {
    const Watched& watched = sample[projection];
    at::mm_out(gradient, watched.output_gradient.narrow(1, begin, count).t(), watched.input);
    rows.addcmul_(gradient, gradient);
  }
}

}  // namespace

FisherPass::FisherPass(const Model& model, std::vector<std::vector<int32_t>> samples,
                       const FisherOptions& options)
    : model_(model), samples_(std::move(samples)), options_(options) {
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
                                              model.config.hidden_size, options.activations);
}

at::Tensor FisherPass::SampleRows(const at::Tensor& tokens, size_t sample) const {
  return tokens.narrow(0, begin_[sample], begin_[sample + 1] - begin_[sample]);
}

void FisherPass::Forward(int64_t layers, const Progress& progress) {
  const MatmulPrecision precision(options_.bfloat16);
  const int64_t count = static_cast<int64_t>(samples_.size());
  const at::Tensor embedded = inputs_->Slot(0);
  ParallelFor(count,
              [&](int64_t s) { SampleRows(embedded, s).copy_(EmbedTokens(model_, samples_[s])); });
  int64_t longest = 0;
  for (const auto& sample : samples_) longest = std::max<int64_t>(longest, sample.size());
  rope_ = MakeRopeTable(model_.config, 0, longest);
  for (int64_t layer = 0; layer < layers; ++layer) {
    const DecoderLayer weights = LoadDecoderLayer(model_, layer);
    const at::Tensor in = inputs_->Slot(layer), out = inputs_->Slot(layer + 1);
    ParallelFor(count, [&](int64_t s) {
      const c10::NoGradGuard no_grad;
      const at::Tensor hidden = SampleRows(in, s).unsqueeze(0);
      SampleRows(out, s).copy_(
          DecoderForward(model_.config, weights, hidden, rope_.Rows(0, hidden.size(1))).squeeze(0));
    });
    if (progress) progress(layer + 1);
  }
}

double FisherPass::Loss() {
  const MatmulPrecision precision(options_.bfloat16);
  const Head head = LoadHead(model_);
  const at::Tensor output = inputs_->Slot(model_.config.num_layers);
  gradient_ = at::zeros_like(output);
  std::vector<double> losses(samples_.size());
  ParallelFor(static_cast<int64_t>(samples_.size()), [&](int64_t s) {
    const at::Tensor hidden = SampleRows(output, s), gradient = SampleRows(gradient_, s);
    // The token at position t is predicted from position t - 1: the last position predicts nothing.
    const int64_t predictions = hidden.size(0) - 1;
    const std::vector<int64_t> ids(samples_[s].begin(), samples_[s].end());
    const at::Tensor targets = at::tensor(ids).narrow(0, 1, predictions);
    for (int64_t begin = 0; begin < predictions; begin += kLossTokens) {
      const int64_t tokens = std::min(kLossTokens, predictions - begin);
      const c10::AutoGradMode with_grad(true);
      const at::Tensor in = hidden.narrow(0, begin, tokens).detach().requires_grad_(true);
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
  const DecoderLayer weights = LoadDecoderLayer(model_, layer);
  if (fisher != nullptr) {
    for (const LinearInfo& info : LayerLinears(model_.config, layer)) {
      (*fisher)[static_cast<size_t>(info.projection)] =
          at::zeros({info.out_features, info.in_features}, at::kFloat);
    }
  }
  const at::Tensor inputs = inputs_->Slot(layer);
  const int64_t count = static_cast<int64_t>(samples_.size());
  const int64_t group = std::max<int64_t>(kMinGroup, ThreadCount());
  for (int64_t first = 0; first < count; first += group) {
    const int64_t members = std::min(group, count - first);
    std::vector<WatchedLayer> watched(static_cast<size_t>(members));
    ParallelFor(members, [&](int64_t member) {
      const int64_t s = first + member;
      WatchedLayer& seen = watched[static_cast<size_t>(member)];
      const c10::AutoGradMode with_grad(true);
      const at::Tensor in = SampleRows(inputs, s).detach().requires_grad_(true);
      const at::Tensor gradient = SampleRows(gradient_, s);
      const auto watch = [&](Projection projection, const Linear& linear, const at::Tensor& x) {
        const at::Tensor y = ApplyLinear(linear, x);
        if (fisher == nullptr) return y;
        Watched& slot = seen[static_cast<size_t>(projection)];
        slot.input = x.detach().squeeze(0);
        y.register_hook(
            [&slot](const at::Tensor& grad) { slot.output_gradient = grad.squeeze(0); });
        return y;
      };
      const at::Tensor out = DecoderForward(model_.config, weights, in.unsqueeze(0),
                                            rope_.Rows(0, in.size(0)), nullptr, watch);
      // A copy: the hooks keep what they are given, and the last projection is given this very
      // tensor, which is overwritten below.
      const auto gradients = torch::autograd::grad({out}, {in}, {gradient.unsqueeze(0).clone()});
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
      for (int64_t begin = 0; begin < rows; begin += kFisherRows) {
        blocks.push_back({p, begin, std::min(kFisherRows, rows - begin)});
      }
    }
    ParallelFor(static_cast<int64_t>(blocks.size()), [&](int64_t b) {
      const Block& block = blocks[static_cast<size_t>(b)];
      Accumulate(watched, block.projection, block.begin, block.count, &(*fisher)[block.projection]);
    });
  }
  inputs_->Drop(layer);
}

void FisherPass::set_gradient(const at::Tensor& gradient) {
  SQ_CHECK(gradient.sizes() == at::IntArrayRef({begin_.back(), model_.config.hidden_size}),
           "saved gradient: expected ", begin_.back(), " rows of ", model_.config.hidden_size);
  gradient_ = gradient;
}

}  // namespace sq
