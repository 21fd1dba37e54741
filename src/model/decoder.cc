#include "sq/model/decoder.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "sq/base/error.h"
#include "sq/base/process.h"
#include "sq/kernels/cuda_device.h"

namespace sq {

namespace {

HostMatrix OnHost(const at::Tensor& weight) {
  return {weight.const_data_ptr(), FloatType::kFloat32, weight.size(0), weight.size(1)};
}

// Rows from `first_row` on, as the file has them; of F64, from a copy in `floats`.
HostMatrix OnHost(const FileTensor& tensor, int64_t rows, int64_t cols, at::Tensor* floats,
                  int64_t first_row = 0) {
  if (tensor.dtype == DType::kF64) {
    *floats = LoadFloats(tensor, {first_row + rows, cols});
    return OnHost(floats->narrow(0, first_row, rows));
  }
  CheckShape(tensor, {first_row + rows, cols});
  float first;
  ReadFloats(tensor, 0, 1, &first);  // an error if it holds no floats
  const FloatType type = tensor.dtype == DType::kF16    ? FloatType::kFloat16
                         : tensor.dtype == DType::kBF16 ? FloatType::kBFloat16
                                                        : FloatType::kFloat32;
  return {tensor.data() + first_row * cols * DTypeBytes(tensor.dtype), type, rows, cols};
}

DecoderLinear OnHost(const Linear& linear) {
  DecoderLinear out;
  if (linear.packed != nullptr) {
    out.packed = *linear.packed;
    return out;
  }
  if (linear.stored) {
    out.dense = OnHost(*linear.stored, linear.stored->shape[0], linear.stored->shape[1], nullptr);
  } else if (linear.weight.defined()) {
    out.dense = OnHost(linear.weight);
  }
  if (linear.bias.defined()) out.bias = linear.bias.const_data_ptr<float>();
  return out;
}

DecoderNorm OnHost(const Norm& norm) {
  DecoderNorm out;
  if (norm.weight.defined()) out.weight = norm.weight.const_data_ptr<float>();
  if (norm.bias.defined()) out.bias = norm.bias.const_data_ptr<float>();
  return out;
}

DecoderLayerWeights OnHost(const DecoderLayer& layer) {
  const auto linear = [&](Projection p) { return OnHost(layer.linears[static_cast<size_t>(p)]); };
  DecoderLayerWeights out;
  out.query = linear(Projection::kQuery);
  out.key = linear(Projection::kKey);
  out.value = linear(Projection::kValue);
  out.attention_out = linear(Projection::kAttentionOut);
  out.gate = linear(Projection::kGate);
  out.up = linear(Projection::kUp);
  out.down = linear(Projection::kDown);
  out.attention_norm = OnHost(layer.attention_norm);
  out.mlp_norm = OnHost(layer.mlp_norm);
  out.query_norm = OnHost(layer.query_norm);
  out.key_norm = OnHost(layer.key_norm);
  out.attention_window = layer.attention_window;
  return out;
}

Activation ActivationOf(const ModelConfig& config) {
  switch (config.activation) {
    case Activation::kSilu: return Activation::kSilu;
    case Activation::kRelu: return Activation::kRelu;
    case Activation::kGelu: return Activation::kGelu;
    case Activation::kGeluTanh: return Activation::kGeluTanh;
  }
  SQ_DCHECK(false);
  return Activation::kSilu;
}

DecoderShape ShapeOf(const ModelConfig& config) {
  DecoderShape shape;
  shape.hidden = config.hidden_size;
  shape.intermediate = config.intermediate_size;
  shape.heads = config.num_heads;
  shape.kv_heads = config.num_kv_heads;
  shape.head_dim = config.head_dim;
  shape.vocab = config.vocab_size;
  shape.norm_epsilon = static_cast<float>(config.norm_epsilon);
  shape.activation = ActivationOf(config);
  return shape;
}

std::shared_ptr<const CudaModel> LoadOnDevice(const Model& model) {
  const ModelConfig& config = model.config;
  const Architecture& architecture = FindArchitecture(config.model_type);
  auto on_device = std::make_shared<CudaModel>(ShapeOf(config));
  for (int64_t number = 0; number < config.num_layers; ++number) {
    const DecoderLayer layer = LoadDecoderLayer(model, number, DenseWeights::kStored);
    on_device->AddLayer(OnHost(layer));
    for (const Linear& linear : layer.linears) {
      if (linear.stored) linear.stored->Release();
    }
  }
  const Head head = LoadHead(model, DenseWeights::kStored);
  const FileTensor& embedding = model.store.Get(architecture.embedding);
  EmbeddingAndHead ends;
  at::Tensor embedded, learned;  // where the file's own bytes will not do
  ends.embedding = OnHost(embedding, config.vocab_size, config.hidden_size, &embedded);
  if (architecture.positions != nullptr) {
    ends.positions = OnHost(model.store.Get(architecture.positions), config.max_positions,
                            config.hidden_size, &learned, kPositionOffset);
  }
  ends.norm = OnHost(head.norm);
  // The very data of a tied embedding, which is then on the device once.
  ends.head = config.tie_word_embeddings ? ends.embedding : OnHost(head.linear).dense;
  on_device->SetEmbeddingAndHead(ends);
  embedding.Release();
  if (head.linear.stored) head.linear.stored->Release();
  return on_device;
}

// One half of each row: both are the same.
RopeTable Halves(const RopeTable& rope) {
  if (!rope.cos.defined()) return {};
  const int64_t half = rope.cos.size(1) / 2;
  return {rope.cos.narrow(1, 0, half).contiguous(), rope.sin.narrow(1, 0, half).contiguous()};
}

RotaryRows OnHost(const RopeTable& halves) {
  if (!halves.cos.defined()) return {};
  return {halves.cos.const_data_ptr<float>(), halves.sin.const_data_ptr<float>()};
}

}  // namespace

std::shared_ptr<const LoadedModel> LoadModel(const Model& model, const Device& device) {
  auto loaded = std::make_shared<LoadedModel>(LoadedModel{model, {}, Head(), device, nullptr});
  if (device.cuda) {
    UseCudaDevice(device.index);
    loaded->on_device = LoadOnDevice(model);
    return loaded;
  }
  loaded->head = LoadHead(model, DenseWeights::kStored);
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
    loaded->layers.push_back(LoadDecoderLayer(model, layer, DenseWeights::kStored));
  }
  return loaded;
}

Decoder::Decoder(std::shared_ptr<const LoadedModel> loaded, int64_t batch, int64_t capacity)
    : loaded_(std::move(loaded)), batch_(batch), capacity_(capacity) {
  const ModelConfig& config = loaded_->model.config;
  if (loaded_->on_device != nullptr) {
    UseCudaDevice(loaded_->device.index);
    const RopeTable rope = Halves(MakeStepwiseRopeTable(config, 0, capacity));
    on_device_ = std::make_unique<CudaDecoder>(loaded_->on_device, batch, capacity, OnHost(rope));
    for (int64_t t = 0; t < capacity; ++t) row_lengths_.push_back(RopeLength(config, t + 1));
    return;
  }
  const auto room = [&] {
    return at::empty({batch, config.num_kv_heads, capacity, config.head_dim}, at::kFloat);
  };
  for (size_t layer = 0; layer < loaded_->layers.size(); ++layer) {
    caches_.push_back({room(), room(), 0});
  }
  rope_ = RopeTables(config, capacity);
}

// What EmbedTokens checks on the CPU.
void Decoder::CheckTokens(const std::vector<std::vector<int32_t>>& ids) const {
  const Model& model = loaded_->model;
  for (const auto& sequence : ids) {
    for (const int32_t id : sequence) {
      SQ_CHECK(id >= 0 && id < model.config.vocab_size, model.folder, ": token id ", id,
               " outside the vocabulary of ", model.config.vocab_size);
    }
  }
  const int64_t length = length_ + static_cast<int64_t>(ids[0].size());
  if (FindArchitecture(model.config.model_type).positions == nullptr) return;
  SQ_CHECK(length <= model.config.max_positions, model.folder, ": ", length,
           " tokens in a sequence, but the model has positions for ", model.config.max_positions);
}

// The device begins with the rows of a text that comes token by token. Tokens that come together
// may be rotated otherwise.
void Decoder::PlaceRotaryRows(int64_t tokens) {
  const ModelConfig& config = loaded_->model.config;
  const int64_t length = RopeLength(config, length_ + tokens);
  const auto begin = row_lengths_.begin() + length_, end = begin + tokens;
  if (std::all_of(begin, end, [&](int64_t row) { return row == length; })) return;
  const RopeTable rope = Halves(MakeRopeTable(config, length_, tokens, length_ + tokens));
  on_device_->SetRotary(length_, tokens, OnHost(rope));
  std::fill(begin, end, length);
}

at::Tensor Decoder::Step(const std::vector<std::vector<int32_t>>& ids) {
  SQ_DCHECK(static_cast<int64_t>(ids.size()) == batch_);
  const int64_t tokens = static_cast<int64_t>(ids[0].size());
  SQ_DCHECK(length_ + tokens <= capacity_);
  best_.clear();
  at::Tensor logits;
  if (on_device_ != nullptr) {
    CheckTokens(ids);
    PlaceRotaryRows(tokens);
    logits = at::empty({batch_, loaded_->model.config.vocab_size}, at::kFloat);
    on_device_->Step(ids, logits.mutable_data_ptr<float>());
  } else {
    logits = StepOnHost(ids);
  }
  length_ += tokens;
  return logits;
}

at::Tensor Decoder::StepOnHost(const std::vector<std::vector<int32_t>>& ids) {
  const c10::NoGradGuard no_grad;
  const int64_t tokens = static_cast<int64_t>(ids[0].size());
  const Model& model = loaded_->model;
  std::vector<at::Tensor> embedded;
  for (const auto& sequence : ids) embedded.push_back(EmbedTokens(model, sequence, length_));
  at::Tensor hidden = at::stack(embedded);
  const RopeTable rope = rope_.Rows(length_, tokens, length_ + tokens);
  for (size_t layer = 0; layer < caches_.size(); ++layer) {
    hidden = DecoderForward(model.config, loaded_->layers[layer], hidden, rope, &caches_[layer]);
  }
  const at::Tensor last = hidden.select(1, tokens - 1);
  return Logits(loaded_->head, FinalNorm(model.config, loaded_->head, last));
}

std::vector<int32_t> Decoder::StepGreedily(const std::vector<std::vector<int32_t>>& ids) {
  std::vector<int32_t> best;
  if (on_device_ == nullptr) {
    const at::Tensor logits = Step(ids).contiguous();
    const int64_t vocab = logits.size(1);
    for (int64_t b = 0; b < batch_; ++b) {
      const float* begin = logits.const_data_ptr<float>() + b * vocab;
      best.push_back(static_cast<int32_t>(std::max_element(begin, begin + vocab) - begin));
    }
    return best;
  }
  CheckTokens(ids);
  SQ_DCHECK(length_ + static_cast<int64_t>(ids[0].size()) <= capacity_);
  PlaceRotaryRows(static_cast<int64_t>(ids[0].size()));
  const bool as_returned =
      ids.size() == best_.size() &&
      std::equal(ids.begin(), ids.end(), best_.begin(), [](const auto& sequence, int32_t id) {
        return sequence.size() == 1 && sequence[0] == id;
      });
  if (as_returned) {
    on_device_->StepBest();
  } else {
    on_device_->Step(ids, nullptr);
  }
  length_ += static_cast<int64_t>(ids[0].size());
  best_ = on_device_->Best();
  return best_;
}

void Decoder::Reset() {
  for (LayerCache& cache : caches_) cache.length = 0;
  if (on_device_ != nullptr) on_device_->Reset();
  best_.clear();
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
    generated.push_back(decoder.StepGreedily({fed})[0]);
    if (std::find(eos.begin(), eos.end(), generated.back()) != eos.end()) break;
    fed = {generated.back()};
  }
  return generated;
}

}  // namespace sq
