#include "sq/model/torch_decoder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>

#include "sq/base/error.h"

namespace sq {
namespace {

int64_t Bytes(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<int64_t>(tensor.nbytes()) : 0;
}
int64_t Bytes(const FileTensor& tensor) { return tensor.bytes; }
int64_t Bytes(const CpuLayer& layer) { return layer.Bytes(); }
int64_t Bytes(const OnCuda& linear) { return linear.layer->DeviceBytes(); }
int64_t Bytes(const Norm& norm) { return Bytes(norm.weight) + Bytes(norm.bias); }
int64_t Bytes(const Linear& linear) {
  return Bytes(linear.bias) +
         std::visit([](const auto& weight) { return Bytes(weight); }, linear.weight);
}

class TorchSession : public DecoderSession {
 public:
  TorchSession(std::shared_ptr<const TorchModel> model, int64_t batch, int64_t capacity,
               const RotaryRows& rotary)
      : model_(std::move(model)), batch_(batch), capacity_(capacity) {
    const ModelConfig& config = model_->model.config;
    const auto room = [&] {
      return at::empty({batch, config.num_kv_heads, capacity, config.head_dim}, at::kFloat);
    };
    for (size_t layer = 0; layer < model_->layers.size(); ++layer) {
      caches_.push_back({room(), room(), 0});
    }
    if (rotary.cos == nullptr) return;
    rope_ = {at::empty({capacity, config.head_dim}, at::kFloat),
             at::empty({capacity, config.head_dim}, at::kFloat)};
    TorchSession::SetRotary(0, capacity, rotary);
  }

  void SetRotary(int64_t begin, int64_t count, const RotaryRows& rows) override {
    const int64_t half = model_->model.config.head_dim / 2;
    const auto set = [&](const at::Tensor& table, const float* from) {
      const at::Tensor halves = at::from_blob(const_cast<float*>(from), {count, half}, at::kFloat);
      table.narrow(0, begin, count).copy_(at::cat({halves, halves}, 1));
    };
    set(rope_.cos, rows.cos);
    set(rope_.sin, rows.sin);
  }

  void Step(const std::vector<std::vector<int32_t>>& ids, float* logits) override {
    const at::Tensor last = Logits(ids).contiguous();
    std::memcpy(logits, last.const_data_ptr<float>(), last.nbytes());
  }

  std::vector<int32_t> StepGreedily(const std::vector<std::vector<int32_t>>& ids) override {
    const at::Tensor logits = Logits(ids).contiguous();
    const int64_t vocab = logits.size(1);
    best_.clear();
    for (int64_t b = 0; b < batch_; ++b) {
      const float* begin = logits.const_data_ptr<float>() + b * vocab;
      best_.push_back(static_cast<int32_t>(std::max_element(begin, begin + vocab) - begin));
    }
    return best_;
  }

  std::vector<int32_t> StepGreedily() override {
    std::vector<std::vector<int32_t>> ids;
    for (const int32_t id : best_) ids.push_back({id});
    return StepGreedily(ids);
  }

  void Reset() override {
    for (LayerCache& cache : caches_) cache.length = 0;
    length_ = 0;
  }

  int64_t length() const override { return length_; }

 private:
  // [batch, vocab], after the last tokens.
  at::Tensor Logits(const std::vector<std::vector<int32_t>>& ids) {
    const c10::NoGradGuard no_grad;
    SQ_DCHECK(static_cast<int64_t>(ids.size()) == batch_);
    const int64_t tokens = static_cast<int64_t>(ids[0].size());
    SQ_CHECK(length_ + tokens <= capacity_, "decoding of ", tokens, " tokens after ", length_,
             ": there is room for ", capacity_);
    const Model& model = model_->model;
    std::vector<at::Tensor> embedded;
    for (const auto& sequence : ids) embedded.push_back(EmbedTokens(model, sequence, length_));
    at::Tensor hidden = at::stack(embedded);
    RopeTable rope;
    if (rope_.cos.defined()) {
      rope = {rope_.cos.narrow(0, length_, tokens), rope_.sin.narrow(0, length_, tokens)};
    }
    for (size_t layer = 0; layer < caches_.size(); ++layer) {
      hidden = DecoderForward(model.config, model_->layers[layer], hidden, rope, &caches_[layer]);
    }
    length_ += tokens;
    const at::Tensor last = hidden.select(1, tokens - 1);
    return sq::Logits(model_->head, FinalNorm(model.config, model_->head, last));
  }

  std::shared_ptr<const TorchModel> model_;
  int64_t batch_, capacity_, length_ = 0;
  RopeTable rope_;  // [capacity, head_dim]
  std::vector<LayerCache> caches_;
  std::vector<int32_t> best_;
};

}  // namespace

int64_t TorchModel::StepBytes() const {
  int64_t bytes = Bytes(head.norm) + Bytes(head.linear);
  for (const DecoderLayer& layer : layers) {
    for (const LayerLinear& entry : layer.linears) bytes += Bytes(entry.linear);
    for (const LayerNorm& entry : layer.norms) bytes += Bytes(entry.norm);
  }
  return bytes;
}

std::shared_ptr<const TorchModel> LoadTorchModel(const Model& model) {
  auto loaded = std::make_shared<TorchModel>();
  loaded->model = model;
  loaded->head = LoadHead(model, DenseWeights::kStored, kCpu);
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
    loaded->layers.push_back(LoadDecoderLayer(model, layer, DenseWeights::kStored, kCpu));
  }
  return loaded;
}

std::unique_ptr<DecoderSession> NewTorchSession(std::shared_ptr<const TorchModel> model,
                                                int64_t batch, int64_t capacity,
                                                const RotaryRows& rotary) {
  return std::make_unique<TorchSession>(std::move(model), batch, capacity, rotary);
}

}  // namespace sq
