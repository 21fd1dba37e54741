#include "sq/model/transformer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <set>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/base/problems.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/model/matmul_precision.h"

namespace sq {
namespace {

at::Tensor ApplyNorm(const Norm& norm, const at::Tensor& x, double epsilon) {
  if (norm.bias.defined()) return at::layer_norm(x, {x.size(-1)}, norm.weight, norm.bias, epsilon);
  return x * at::rsqrt(x.square().mean(-1, /*keepdim=*/true) + epsilon) * norm.weight;
}

at::Tensor Activate(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::kSilu: return at::silu(x);
    case Activation::kRelu: return at::relu(x);
    case Activation::kGelu: return at::gelu(x);
  }
  SQ_DCHECK(false);
  return x;
}

// The second half of each head's values negated and put before the first.
at::Tensor RotateHalf(const at::Tensor& x) {
  const int64_t half = x.size(-1) / 2;
  return at::cat({-x.narrow(-1, half, half), x.narrow(-1, 0, half)}, -1);
}

at::Tensor Rotate(const at::Tensor& x, const RopeTable& rope) {
  return x * rope.cos + RotateHalf(x) * rope.sin;
}

// [batch, tokens, heads * head_dim] -> [batch, heads, tokens, head_dim]
at::Tensor SplitHeads(const at::Tensor& x, int64_t head_dim) {
  return x.view({x.size(0), x.size(1), -1, head_dim}).transpose(1, 2);
}

// Each of the kv heads serves `times` neighbouring query heads.
at::Tensor RepeatHeads(const at::Tensor& x, int64_t times) {
  if (times == 1) return x;
  return x.unsqueeze(2)
      .expand({x.size(0), x.size(1), times, x.size(2), x.size(3)})
      .reshape({x.size(0), x.size(1) * times, x.size(2), x.size(3)});
}

// Which of `keys` positions the `tokens` last ones attend to: bool [tokens, keys], or undefined
// when that is causal attention over one whole sequence, which LibTorch knows by itself.
at::Tensor AttentionMask(int64_t tokens, int64_t keys, int64_t window, const at::Device& device) {
  const bool windowed = window > 0 && window < keys;
  if (tokens == keys && !windowed) return {};
  const at::TensorOptions options = at::TensorOptions().dtype(at::kLong).device(device);
  const at::Tensor query = at::arange(keys - tokens, keys, options).unsqueeze(1);
  const at::Tensor key = at::arange(keys, options).unsqueeze(0);
  const at::Tensor causal = key <= query;
  return windowed ? causal.logical_and(key > query - window) : causal;
}

// Causal attention of the last tokens, queries [batch, heads, tokens, head_dim], to all, keys and
// values [batch, kv_heads, keys, head_dim]. LibTorch's fused kernel does not look at the precision
// of fp32 products, so where that is bfloat16 the operands are handed over as such.
at::Tensor AttendCausally(const at::Tensor& queries, const at::Tensor& keys,
                          const at::Tensor& values, int64_t window) {
  const at::Tensor mask = AttentionMask(queries.size(2), keys.size(2), window, queries.device());
  const auto attend = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
    std::optional<at::Tensor> given;
    if (mask.defined()) given = mask;
    return at::scaled_dot_product_attention(q, k, v, given, /*dropout_p=*/0.0,
                                            /*is_causal=*/!mask.defined());
  };
  const int64_t times = queries.size(1) / keys.size(1);
  const at::Tensor k = RepeatHeads(keys, times), v = RepeatHeads(values, times);
  if (!Bfloat16Products()) return attend(queries, k, v);
  return attend(queries.to(at::kBFloat16), k.to(at::kBFloat16), v.to(at::kBFloat16)).to(at::kFloat);
}

// Attention of one new token, queries [batch, heads, 1, head_dim], to all that the cache holds,
// keys and values [batch, kv_heads, length, head_dim]. The query heads that share a kv head stand
// in for tokens, so that the cache is read as it lies.
at::Tensor AttendToCache(const at::Tensor& queries, const at::Tensor& all_keys,
                         const at::Tensor& all_values, int64_t window) {
  const int64_t length = all_keys.size(2);
  const int64_t seen = window > 0 ? std::min(window, length) : length;
  const at::Tensor keys = all_keys.narrow(2, length - seen, seen);
  const at::Tensor values = all_values.narrow(2, length - seen, seen);
  const int64_t batch = queries.size(0), head_dim = queries.size(3);
  const at::Tensor grouped = queries.reshape({batch, keys.size(1), -1, head_dim});
  if (grouped.is_cuda()) {
    return at::scaled_dot_product_attention(grouped, keys, values)
        .reshape({batch, -1, 1, head_dim});
  }
  at::Tensor out = at::empty_like(grouped);
  ParallelFor(batch, [&](int64_t b) {
    const c10::NoGradGuard no_grad;
    out.narrow(0, b, 1).copy_(at::scaled_dot_product_attention(
        grouped.narrow(0, b, 1), keys.narrow(0, b, 1), values.narrow(0, b, 1)));
  });
  return out.view({batch, -1, 1, head_dim});
}

void AppendToCache(LayerCache* cache, at::Tensor* keys, at::Tensor* values) {
  const int64_t tokens = keys->size(2);
  SQ_DCHECK(cache->length + tokens <= cache->keys.size(2));
  cache->keys.narrow(2, cache->length, tokens).copy_(*keys);
  cache->values.narrow(2, cache->length, tokens).copy_(*values);
  cache->length += tokens;
  *keys = cache->keys.narrow(2, 0, cache->length);
  *values = cache->values.narrow(2, 0, cache->length);
}

// Wave lengths beyond the original context are stretched by the factor, short ones kept, those
// between blended (transformers, modeling_rope_utils.py, _compute_llama3_parameters).
float ScaleLlama3(const Rope& rope, float frequency) {
  const double wave = 2 * M_PI / frequency;
  if (wave < rope.original_max_positions / rope.high_freq_factor) return frequency;
  if (wave > rope.original_max_positions / rope.low_freq_factor) {
    return static_cast<float>(frequency / rope.factor);
  }
  const double smooth = (rope.original_max_positions / wave - rope.low_freq_factor) /
                        (rope.high_freq_factor - rope.low_freq_factor);
  return static_cast<float>((1 - smooth) * frequency / rope.factor + smooth * frequency);
}

// Names every tensor that is missing, and every one that the architecture does not know.
void CheckTensors(const Model& model) {
  const std::vector<std::string> ignored = IgnoredTensors(model.config);
  std::set<std::string> known(ignored.begin(), ignored.end());
  std::vector<std::string> needed;
  for (const PlainTensor& tensor : PlainTensors(model.config)) needed.push_back(tensor.name);
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
    for (const LinearInfo& linear : LayerLinears(model.config, layer)) {
      if (HasPackedLayer(model.store, linear.name)) {
        for (const std::string& name : PackedTensorNames(linear.name)) needed.push_back(name);
        for (const std::string& name : OptionalPackedTensorNames(linear.name)) known.insert(name);
      } else {
        needed.push_back(linear.name + ".weight");
      }
      if (linear.bias) needed.push_back(linear.name + ".bias");
    }
  }
  known.insert(needed.begin(), needed.end());
  Problems problems;
  for (const std::string& name : needed) {
    if (model.store.Find(name) == nullptr) problems.Add("tensor " + name + " is missing");
  }
  for (const std::string& name : model.store.Names()) {
    if (known.count(name) == 0) problems.Add("tensor " + name + " is unknown");
  }
  problems.Check(model.folder);
}

// Checkpoints of the bare decoder, as some of OPT are, lack the first part of the names.
TensorStore WithFullNames(TensorStore store, const Architecture& architecture,
                          const std::string& folder) {
  constexpr char kPrefix[] = "model.";
  const std::string bare = std::string(architecture.embedding).substr(sizeof kPrefix - 1);
  if (store.Find(bare) == nullptr) return store;
  std::vector<FileTensor> tensors;
  for (const std::string& name : store.Names()) {
    tensors.push_back(store.Get(name));
    if (name != architecture.head) tensors.back().name = kPrefix + name;
  }
  return TensorStore::Of(folder, tensors);
}

Norm LoadNorm(const Model& model, const std::string& name, int64_t size, const Device& device) {
  Norm norm;
  norm.weight = LoadFloats(model.store.Get(name + ".weight"), {size}, device);
  if (FindArchitecture(model.config.model_type).layer_norms) {
    norm.bias = LoadFloats(model.store.Get(name + ".bias"), {size}, device);
  }
  return norm;
}

}  // namespace

TensorStore OpenWeights(const std::string& folder, const ModelConfig& config) {
  return WithFullNames(TensorStore::Open(folder), FindArchitecture(config.model_type), folder);
}

Model OpenModel(const std::string& folder, const OpenOptions& options) {
  const ModelConfig config = ReadModelConfig(folder, options.ignore_config_fields);
  Model model{folder, config, OpenWeights(folder, config)};
  CheckTensors(model);
  return model;
}

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

RopeTable MakeRopeTable(const ModelConfig& config, int64_t begin, int64_t count,
                        const Device& device) {
  if (FindArchitecture(config.model_type).positions != nullptr) return {};
  const int64_t half = config.head_dim / 2;
  at::Tensor frequencies = at::empty({half}, at::kFloat);
  float* out = frequencies.mutable_data_ptr<float>();
  for (int64_t i = 0; i < half; ++i) {
    // In fp32 as transformers does: at position 2000 the rounding of a frequency shows in the
    // angle.
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
    out[i] = 1.0f / std::pow(static_cast<float>(config.rope.theta), exponent);
    if (config.rope.scaling == Rope::Scaling::kLinear) {
      out[i] /= static_cast<float>(config.rope.factor);
    } else if (config.rope.scaling == Rope::Scaling::kLlama3) {
      out[i] = ScaleLlama3(config.rope, out[i]);
    }
  }
  const at::Tensor positions = at::arange(begin, begin + count, at::kFloat);
  const at::Tensor angles = positions.unsqueeze(1) * frequencies.unsqueeze(0);
  const at::Tensor both = at::cat({angles, angles}, -1);
  return {both.cos().to(TensorDevice(device)), both.sin().to(TensorDevice(device))};
}

at::Tensor DecoderForward(const ModelConfig& config, const DecoderLayer& layer,
                          const at::Tensor& hidden, const RopeTable& rope, LayerCache* cache,
                          const LinearFn& apply) {
  const auto linear = [&](Projection projection, const at::Tensor& x) {
    const Linear& weights = layer.linears[static_cast<size_t>(projection)];
    return apply ? apply(projection, weights, x) : ApplyLinear(weights, x);
  };
  const at::Tensor x = ApplyNorm(layer.attention_norm, hidden, config.norm_epsilon);
  at::Tensor queries = SplitHeads(linear(Projection::kQuery, x), config.head_dim);
  at::Tensor keys = SplitHeads(linear(Projection::kKey, x), config.head_dim);
  at::Tensor values = SplitHeads(linear(Projection::kValue, x), config.head_dim);
  if (layer.query_norm.weight.defined()) {
    queries = ApplyNorm(layer.query_norm, queries, config.norm_epsilon);
    keys = ApplyNorm(layer.key_norm, keys, config.norm_epsilon);
  }
  if (rope.cos.defined()) {
    queries = Rotate(queries, rope);
    keys = Rotate(keys, rope);
  }
  const int64_t tokens = queries.size(2), window = layer.attention_window;
  if (cache != nullptr) AppendToCache(cache, &keys, &values);
  const at::Tensor attended = tokens == 1 ? AttendToCache(queries, keys, values, window)
                                          : AttendCausally(queries, keys, values, window);
  const at::Tensor joined = attended.transpose(1, 2).reshape(
      {hidden.size(0), tokens, config.num_heads * config.head_dim});
  const at::Tensor middle = hidden + linear(Projection::kAttentionOut, joined);
  const at::Tensor y = ApplyNorm(layer.mlp_norm, middle, config.norm_epsilon);
  const bool gated = !layer.linears[static_cast<size_t>(Projection::kGate)].Empty();
  const at::Tensor activated =
      gated ? Activate(config.activation, linear(Projection::kGate, y)) * linear(Projection::kUp, y)
            : Activate(config.activation, linear(Projection::kUp, y));
  return middle + linear(Projection::kDown, activated);
}

at::Tensor FinalNorm(const ModelConfig& config, const Head& head, const at::Tensor& hidden) {
  return ApplyNorm(head.norm, hidden, config.norm_epsilon);
}

at::Tensor Logits(const Head& head, const at::Tensor& normed) {
  return ApplyLinear(head.linear, normed);
}

}  // namespace sq
