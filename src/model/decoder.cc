#include "sq/model/decoder.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "sq/base/error.h"
#include "sq/base/process.h"

namespace sq {

std::shared_ptr<const LoadedModel> LoadModel(const Model& model) {
  auto loaded =
      std::make_shared<LoadedModel>(LoadedModel{model, {}, LoadHead(model, DenseWeights::kStored)});
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
    loaded->layers.push_back(LoadDecoderLayer(model, layer, DenseWeights::kStored));
  }
  return loaded;
}

Decoder::Decoder(std::shared_ptr<const LoadedModel> loaded, int64_t batch, int64_t capacity)
    : loaded_(std::move(loaded)), batch_(batch), capacity_(capacity) {
  const ModelConfig& config = loaded_->model.config;
  const auto room = [&] {
    return at::empty({batch, config.num_kv_heads, capacity, config.head_dim}, at::kFloat);
  };
  for (size_t layer = 0; layer < loaded_->layers.size(); ++layer) {
    caches_.push_back({room(), room(), 0});
  }
  rope_ = MakeRopeTable(config, 0, capacity);
}

at::Tensor Decoder::Step(const std::vector<std::vector<int32_t>>& ids) {
  SQ_DCHECK(static_cast<int64_t>(ids.size()) == batch_);
  const c10::NoGradGuard no_grad;
  const int64_t tokens = static_cast<int64_t>(ids[0].size());
  SQ_DCHECK(length_ + tokens <= capacity_);
  const Model& model = loaded_->model;
  std::vector<at::Tensor> embedded;
  for (const auto& sequence : ids) embedded.push_back(EmbedTokens(model, sequence, length_));
  at::Tensor hidden = at::stack(embedded);
  const RopeTable rope = rope_.Rows(length_, tokens);
  for (size_t layer = 0; layer < caches_.size(); ++layer) {
    hidden = DecoderForward(model.config, loaded_->layers[layer], hidden, rope, &caches_[layer]);
  }
  length_ += tokens;
  const at::Tensor last = hidden.select(1, tokens - 1);
  return Logits(loaded_->head, FinalNorm(model.config, loaded_->head, last));
}

void Decoder::Reset() {
  for (LayerCache& cache : caches_) cache.length = 0;
  length_ = 0;
}

std::vector<int32_t> GenerateGreedy(std::shared_ptr<const LoadedModel> loaded,
                                    const std::vector<int32_t>& prompt, int64_t count) {
  SQ_CHECK(!prompt.empty(), "the prompt has no tokens");
  Decoder decoder(loaded, 1, static_cast<int64_t>(prompt.size()) + count);
  std::vector<int32_t> generated, fed = prompt;
  const std::vector<int>& eos = loaded->model.config.eos_token_ids;
  while (static_cast<int64_t>(generated.size()) < count) {
    StopIfInterrupted();
    const at::Tensor logits = decoder.Step({fed}).contiguous();
    const float* begin = logits.const_data_ptr<float>();
    const auto best = std::max_element(begin, begin + logits.numel()) - begin;
    generated.push_back(static_cast<int32_t>(best));
    if (std::find(eos.begin(), eos.end(), generated.back()) != eos.end()) break;
    fed = {generated.back()};
  }
  return generated;
}

}  // namespace sq
