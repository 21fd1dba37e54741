#include "sq/model/layer_pass.h"

#include <c10/core/GradMode.h>

#include <algorithm>

namespace sq {

DenseWeights PassWeights(const Device& device, bool bfloat16) {
  return device.cuda && bfloat16 ? DenseWeights::kBFloat16 : DenseWeights::kFloat;
}

void ForEachLayer(LayerLoader* loader, int64_t layers, const Device& device,
                  const std::function<void(int64_t, const DecoderLayer&)>& body,
                  const std::function<void(int64_t)>& layer_done) {
  for (int64_t layer = 0; layer < layers; ++layer) {
    const DecoderLayer weights = loader->Load(layer, layer + 1 < layers ? layer + 1 : -1);
    body(layer, weights);
    Synchronize(device);
    if (layer_done) layer_done(layer + 1);
  }
}

SequencePass::SequencePass(const Model& model, const std::vector<std::vector<int32_t>>& sequences,
                           const Device& device)
    : model_(&model),
      sequences_(&sequences),
      device_(device),
      begin_({0}),
      batches_(BatchSequences(sequences, device.cuda ? kDeviceTokens : 0)) {
  int64_t longest = 0;
  for (const auto& sequence : sequences) {
    const int64_t length = static_cast<int64_t>(sequence.size());
    longest = std::max(longest, length);
    begin_.push_back(begin_.back() + length);
  }
  rope_ = RopeTables(model.config, longest, device);
}

at::Tensor SequencePass::Rows(const at::Tensor& all, size_t sequence) const {
  return all.narrow(0, begin_[sequence], begin_[sequence + 1] - begin_[sequence]);
}

at::Tensor SequencePass::Rows(const at::Tensor& all, const SequenceBatch& batch) const {
  return all.narrow(0, batch.begin, batch.count * batch.length);
}

RopeTable SequencePass::Rope(const SequenceBatch& batch) const {
  return rope_.Rows(0, batch.length, batch.length);
}

void SequencePass::Embed(const at::Tensor& out) const {
  DeviceFor(device_, static_cast<int64_t>(sequences_->size()), [&](int64_t i) {
    const auto sequence = static_cast<size_t>(i);
    Rows(out, sequence).copy_(EmbedTokens(*model_, (*sequences_)[sequence]));
  });
}

void SequencePass::Forward(const DecoderLayer& layer, const at::Tensor& in,
                           const at::Tensor& out) const {
  DeviceFor(device_, static_cast<int64_t>(batches_.size()), [&](int64_t b) {
    const c10::NoGradGuard no_grad;
    const SequenceBatch& batch = batches_[static_cast<size_t>(b)];
    const at::Tensor hidden =
        Rows(in, batch).to(TensorDevice(device_)).view({batch.count, batch.length, -1});
    const at::Tensor result = DecoderForward(model_->config, layer, hidden, Rope(batch));
    Rows(out, batch).copy_(result.view({batch.count * batch.length, -1}));
  });
}

}  // namespace sq
