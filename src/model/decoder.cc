#include "sq/model/decoder.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "sq/base/error.h"
#include "sq/base/process.h"
#include "sq/kernels/cuda_decoder.h"
#include "sq/kernels/cuda_device.h"
#include "sq/model/decoder_weights.h"

namespace sq {
namespace {

// One half of each row: both are the same.
RopeTable Halves(const RopeTable& rope) {
  if (!rope.cos.defined()) return {};
  const int64_t half = rope.cos.size(1) / 2;
  return {rope.cos.narrow(1, 0, half).contiguous(), rope.sin.narrow(1, 0, half).contiguous()};
}

RotaryRows RowsOf(const RopeTable& halves) {
  if (!halves.cos.defined()) return {};
  return {halves.cos.const_data_ptr<float>(), halves.sin.const_data_ptr<float>()};
}

std::unique_ptr<DecoderSession> NewSession(const LoadedModel& loaded, int64_t batch,
                                           int64_t capacity, const RotaryRows& rotary) {
  if (loaded.on_device == nullptr) {
    return NewTorchSession(loaded.on_host, batch, capacity, rotary);
  }
  UseCudaDevice(loaded.device.index);
  return loaded.on_device->NewSession(batch, capacity, rotary);
}

}  // namespace

int64_t LoadedModel::StepBytes() const {
  return on_device != nullptr ? on_device->StepBytes() : on_host->StepBytes();
}

std::shared_ptr<const LoadedModel> LoadModel(const Model& model, const Device& device) {
  auto loaded = std::make_shared<LoadedModel>(LoadedModel{model, device, nullptr, nullptr});
  if (device.cuda) {
    UseCudaDevice(device.index);
    const auto on_device = std::make_shared<CudaModel>(DecoderShapeOf(model.config));
    LoadDecoderWeights(model, on_device.get());
    loaded->on_device = on_device;
  } else {
    loaded->on_host = LoadTorchModel(model);
  }
  return loaded;
}

Decoder::Decoder(std::shared_ptr<const LoadedModel> loaded, int64_t batch, int64_t capacity)
    : loaded_(std::move(loaded)), batch_(batch), capacity_(capacity) {
  const ModelConfig& config = loaded_->model.config;
  const RopeTable rope = Halves(MakeStepwiseRopeTable(config, 0, capacity));
  for (int64_t t = 0; t < capacity; ++t) row_lengths_.push_back(RopeLength(config, t + 1));
  session_ = NewSession(*loaded_, batch, capacity, RowsOf(rope));
}

void Decoder::CheckTokens(const std::vector<std::vector<int32_t>>& ids) const {
  SQ_DCHECK(static_cast<int64_t>(ids.size()) == batch_);
  const Model& model = loaded_->model;
  for (const auto& sequence : ids) {
    for (const int32_t id : sequence) CheckTokenId(model, id);
  }
  CheckPositions(static_cast<int64_t>(ids[0].size()));
}

void Decoder::CheckPositions(int64_t tokens) const {
  SQ_DCHECK(length() + tokens <= capacity_);
  CheckLearnedPositions(loaded_->model, length() + tokens);
}

// The session begins with the rows of a text that comes token by token. Tokens that come together
// may be rotated otherwise.
void Decoder::UpdateRotary(int64_t tokens) {
  const ModelConfig& config = loaded_->model.config;
  const int64_t rope_length = RopeLength(config, length() + tokens);
  const auto begin = row_lengths_.begin() + length(), end = begin + tokens;
  if (std::all_of(begin, end, [&](int64_t row) { return row == rope_length; })) return;
  const RopeTable rope = Halves(MakeRopeTable(config, length(), tokens, length() + tokens, kCpu));
  session_->SetRotary(length(), tokens, RowsOf(rope));
  std::fill(begin, end, rope_length);
}

at::Tensor Decoder::Step(const std::vector<std::vector<int32_t>>& ids) {
  CheckTokens(ids);
  UpdateRotary(static_cast<int64_t>(ids[0].size()));
  at::Tensor logits = at::empty({batch_, loaded_->model.config.vocab_size}, at::kFloat);
  session_->Step(ids, logits.mutable_data_ptr<float>());
  return logits;
}

std::vector<int32_t> Decoder::StepGreedily(const std::vector<std::vector<int32_t>>& ids) {
  CheckTokens(ids);
  UpdateRotary(static_cast<int64_t>(ids[0].size()));
  return session_->StepGreedily(ids);
}

std::vector<int32_t> Decoder::StepGreedily() {
  CheckPositions(1);
  UpdateRotary(1);
  return session_->StepGreedily();
}

void Decoder::Reset() { session_->Reset(); }

std::vector<int32_t> GenerateGreedy(std::shared_ptr<const LoadedModel> loaded,
                                    const std::vector<int32_t>& prompt, int64_t count) {
  SQ_CHECK(!prompt.empty(), "the prompt has no tokens");
  Decoder decoder(loaded, 1, static_cast<int64_t>(prompt.size()) + count);
  std::vector<int32_t> generated;
  const std::vector<int>& eos = loaded->model.config.eos_token_ids;
  while (static_cast<int64_t>(generated.size()) < count) {
    StopIfInterrupted();
    generated.push_back(generated.empty() ? decoder.StepGreedily({prompt})[0]
                                          : decoder.StepGreedily()[0]);
    if (std::find(eos.begin(), eos.end(), generated.back()) != eos.end()) break;
  }
  return generated;
}

}  // namespace sq
