#include "sq/model/weights.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "sq/base/error.h"

namespace sq {
namespace {

Norm LoadNorm(const Model& model, const std::string& name, int64_t size, const Device& device) {
  Norm norm;
  norm.weight = LoadFloats(model.store.Get(name + ".weight"), {size}, device);
  if (FindArchitecture(model.config.model_type).layer_norms) {
    norm.bias = LoadFloats(model.store.Get(name + ".bias"), {size}, device);
  }
  return norm;
}

}  // namespace

DecoderLayer LoadDecoderLayer(const Model& model, int64_t layer, DenseWeights dense,
                              const Device& device) {
  const Architecture& architecture = FindArchitecture(model.config.model_type);
  const std::string prefix = architecture.layer_prefix + std::to_string(layer) + ".";
  const int64_t hidden = model.config.hidden_size, head_dim = model.config.head_dim;
  DecoderLayer loaded;
  for (const LinearInfo& info : LayerLinears(model.config, layer)) {
    loaded.linears[static_cast<size_t>(info.projection)] =
        LoadLinear(model.store, info, dense, device);
  }
  loaded.attention_norm = LoadNorm(model, prefix + architecture.attention_norm, hidden, device);
  loaded.mlp_norm = LoadNorm(model, prefix + architecture.mlp_norm, hidden, device);
  if (architecture.query_norm != nullptr) {
    loaded.query_norm = LoadNorm(model, prefix + architecture.query_norm, head_dim, device);
    loaded.key_norm = LoadNorm(model, prefix + architecture.key_norm, head_dim, device);
  }
  loaded.attention_window = model.config.AttentionWindow(layer);
  return loaded;
}

Head LoadHead(const Model& model, DenseWeights dense, const Device& device) {
  const Architecture& architecture = FindArchitecture(model.config.model_type);
  const char* name = model.config.tie_word_embeddings ? architecture.embedding : architecture.head;
  return {LoadNorm(model, architecture.final_norm, model.config.hidden_size, device),
          LoadDenseWeight(model.store.Get(name),
                          {model.config.vocab_size, model.config.hidden_size}, dense, device)};
}

at::Tensor EmbedTokens(const Model& model, const std::vector<int32_t>& ids, int64_t position) {
  const ModelConfig& config = model.config;
  const Architecture& architecture = FindArchitecture(config.model_type);
  const int64_t hidden = config.hidden_size, tokens = static_cast<int64_t>(ids.size());
  const FileTensor& table = model.store.Get(architecture.embedding);
  CheckShape(table, {config.vocab_size, hidden});
  at::Tensor rows = at::empty({tokens, hidden}, at::kFloat);
  float* out = rows.mutable_data_ptr<float>();
  for (int64_t i = 0; i < tokens; ++i) {
    const int32_t id = ids[static_cast<size_t>(i)];
    SQ_CHECK(id >= 0 && id < config.vocab_size, model.folder, ": token id ", id,
             " outside the vocabulary of ", config.vocab_size);
    ReadFloats(table, id * hidden, hidden, out + i * hidden);
  }
  if (architecture.positions == nullptr) return rows;
  SQ_CHECK(position + tokens <= config.max_positions, model.folder, ": ", position + tokens,
           " tokens in a sequence, but the model has positions for ", config.max_positions);
  const FileTensor& learned = model.store.Get(architecture.positions);
  CheckShape(learned, {config.max_positions + kPositionOffset, hidden});
  at::Tensor positions = at::empty_like(rows);
  ReadFloats(learned, (position + kPositionOffset) * hidden, tokens * hidden,
             positions.mutable_data_ptr<float>());
  return rows.add_(positions);
}

}  // namespace sq
