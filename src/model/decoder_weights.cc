#include "sq/model/decoder_weights.h"

#include <deque>

#include "sq/base/error.h"
#include "sq/checkpoint/packed_checkpoint.h"

namespace sq {
namespace {

// Host memory that views point into, and files whose pages they have read.
class HostMemory {
 public:
  ~HostMemory() {
    for (const FileTensor* file : files_) file->Release();
  }

  const float* Floats(const FileTensor& tensor, const Shape& expected) {
    CheckShape(tensor, expected);
    floats_.push_back(ReadFloats(tensor));
    return floats_.back().data();
  }

  // Rows from `first_row` on, as the file has them; of F64, converted.
  HostMatrix Matrix(const FileTensor& tensor, int64_t rows, int64_t cols, int64_t first_row = 0) {
    const Shape shape = {first_row + rows, cols};
    const int64_t first = first_row * cols;
    if (tensor.dtype == DType::kF64) {
      return {Floats(tensor, shape) + first, FloatType::kFloat32, rows, cols};
    }
    CheckShape(tensor, shape);
    CheckFloatType(tensor);
    files_.push_back(&tensor);
    const FloatType type = tensor.dtype == DType::kF16    ? FloatType::kFloat16
                           : tensor.dtype == DType::kBF16 ? FloatType::kBFloat16
                                                          : FloatType::kFloat32;
    return {tensor.data() + first * DTypeBytes(tensor.dtype), type, rows, cols};
  }

  PackedView Packed(PackedLayer layer) {
    packed_.push_back(std::move(layer));
    return packed_.back();
  }

 private:
  std::deque<std::vector<float>> floats_;
  std::deque<PackedLayer> packed_;
  std::vector<const FileTensor*> files_;
};

DecoderLinear ReadLinear(const TensorStore& store, const LinearInfo& info, HostMemory* memory) {
  DecoderLinear linear;
  linear.parts = info.parts;
  if (HasPackedLayer(store, info.name)) {
    linear.packed =
        memory->Packed(ReadPackedLayer(store, info.name, info.out_features, info.in_features));
    return linear;
  }
  linear.dense = memory->Matrix(store.Get(info.WeightName()), info.out_features, info.in_features);
  if (info.bias) linear.bias = memory->Floats(store.Get(info.BiasName()), {info.out_features});
  return linear;
}

DecoderNorm ReadNorm(const TensorStore& store, const NormInfo& info, HostMemory* memory) {
  DecoderNorm norm;
  norm.role = info.role;
  norm.weight = memory->Floats(store.Get(info.WeightName()), {info.features});
  if (info.bias) norm.bias = memory->Floats(store.Get(info.BiasName()), {info.features});
  return norm;
}

void AddLayer(const Model& model, int64_t layer, DecoderModel* decoder) {
  HostMemory memory;
  DecoderLayerWeights weights;
  for (const LinearInfo& info : LayerLinears(model.config, layer)) {
    weights.linears.push_back(ReadLinear(model.store, info, &memory));
  }
  for (const NormInfo& info : LayerNorms(model.config, layer)) {
    weights.norms.push_back(ReadNorm(model.store, info, &memory));
  }
  weights.attention_window = model.config.AttentionWindow(layer);
  decoder->AddLayer(weights);
}

}  // namespace

DecoderShape DecoderShapeOf(const ModelConfig& config) {
  DecoderShape shape;
  shape.hidden = config.hidden_size;
  shape.intermediate = config.intermediate_size;
  shape.heads = config.num_heads;
  shape.kv_heads = config.num_kv_heads;
  shape.head_dim = config.head_dim;
  shape.vocab = config.vocab_size;
  shape.norm_epsilon = static_cast<float>(config.norm_epsilon);
  shape.activation = config.activation;
  return shape;
}

void LoadDecoderWeights(const Model& model, DecoderModel* decoder) {
  const ModelConfig& config = model.config;
  const Architecture& architecture = *config.architecture;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) AddLayer(model, layer, decoder);
  HostMemory memory;
  EmbeddingAndHead ends;
  ends.embedding =
      memory.Matrix(model.store.Get(architecture.embedding), config.vocab_size, config.hidden_size);
  if (architecture.positions != nullptr) {
    ends.positions = memory.Matrix(model.store.Get(architecture.positions), config.max_positions,
                                   config.hidden_size, kPositionOffset);
  }
  ends.norm = ReadNorm(model.store, FinalNormInfo(config), &memory);
  // The same data where they are tied, which is then on the device once.
  ends.head = config.tie_word_embeddings ? ends.embedding
                                         : memory.Matrix(model.store.Get(architecture.head),
                                                         config.vocab_size, config.hidden_size);
  decoder->SetEmbeddingAndHead(ends);
}

}  // namespace sq
