#include "sq/model/weights.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "sq/base/error.h"

namespace sq {
namespace {

Norm LoadNorm(const Model& model, const NormInfo& info, const Device& device) {
  Norm norm;
  norm.weight = LoadFloats(model.store.Get(info.WeightName()), {info.features}, device);
  if (info.bias) norm.bias = LoadFloats(model.store.Get(info.BiasName()), {info.features}, device);
  return norm;
}

}  // namespace

const Norm* DecoderLayer::FindNorm(NormRole role) const {
  for (const LayerNorm& norm : norms) {
    if (norm.info.role == role) return &norm.norm;
  }
  return nullptr;
}

DecoderLayer LoadDecoderLayer(const Model& model, int64_t layer, DenseWeights dense,
                              const Device& device) {
  DecoderLayer loaded;
  for (const LinearInfo& info : LayerLinears(model.config, layer)) {
    loaded.linears.push_back({info, LoadLinear(model.store, info, dense, device)});
  }
  for (const NormInfo& info : LayerNorms(model.config, layer)) {
    loaded.norms.push_back({info, LoadNorm(model, info, device)});
  }
  loaded.attention_window = model.config.AttentionWindow(layer);
  return loaded;
}

Head LoadHead(const Model& model, DenseWeights dense, const Device& device) {
  const ModelConfig& config = model.config;
  return {LoadNorm(model, FinalNormInfo(config), device),
          LoadDenseWeight(model.store.Get(HeadName(config)),
                          {config.vocab_size, config.hidden_size}, dense, device)};
}

void CheckTokenId(const Model& model, int32_t id) {
  SQ_CHECK(id >= 0 && id < model.config.vocab_size, model.folder, ": token id ", id,
           " outside the vocabulary of ", model.config.vocab_size);
}

void CheckLearnedPositions(const Model& model, int64_t length) {
  if (model.config.architecture->positions == nullptr) return;
  SQ_CHECK(length <= model.config.max_positions, model.folder, ": ", length,
           " tokens in a sequence, but the model has positions for ", model.config.max_positions);
}

at::Tensor EmbedTokens(const Model& model, const std::vector<int32_t>& ids, int64_t position) {
  const ModelConfig& config = model.config;
  const Architecture& architecture = *config.architecture;
  const int64_t hidden = config.hidden_size, tokens = static_cast<int64_t>(ids.size());
  const FileTensor& table = model.store.Get(architecture.embedding);
  CheckShape(table, {config.vocab_size, hidden});
  at::Tensor rows = at::empty({tokens, hidden}, at::kFloat);
  float* out = rows.mutable_data_ptr<float>();
  for (int64_t i = 0; i < tokens; ++i) {
    const int32_t id = ids[static_cast<size_t>(i)];
    CheckTokenId(model, id);
    ReadFloats(table, id * hidden, hidden, out + i * hidden);
  }
  if (architecture.positions == nullptr) return rows;
  CheckLearnedPositions(model, position + tokens);
  const FileTensor& learned = model.store.Get(architecture.positions);
  CheckShape(learned, {config.max_positions + kPositionOffset, hidden});
  at::Tensor positions = at::empty_like(rows);
  ReadFloats(learned, (position + kPositionOffset) * hidden, tokens * hidden,
             positions.mutable_data_ptr<float>());
  return rows.add_(positions);
}

}  // namespace sq
