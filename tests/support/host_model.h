// A small random decoder model on the host, for kernels/decoder.h: packed layers of 3 and 4 bits
// and dense ones of each type.
#pragma once

#include <cmath>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "sq/base/half.h"
#include "sq/kernels/cuda_decoder.h"
#include "tests/support/random_layer.h"

namespace sq::test {

constexpr int64_t kHidden = 64, kIntermediate = 96, kHeads = 4, kKvHeads = 2, kHeadDim = 16,
                  kVocab = 40, kCapacity = 700;

struct HostModel {
  DecoderShape shape;
  std::vector<PackedLayer> packed;
  std::vector<std::vector<float>> floats;
  std::vector<std::vector<uint16_t>> halves;
  std::vector<DecoderLayerWeights> layers;
  EmbeddingAndHead ends;
  std::vector<float> cos, sin;
  std::mt19937 random{7};

  const float* Floats(int64_t count, float scale, float add = 0) {
    std::normal_distribution<float> normal;
    floats.emplace_back();
    for (int64_t i = 0; i < count; ++i) floats.back().push_back(add + scale * normal(random));
    return floats.back().data();
  }
  HostMatrix Matrix(int64_t rows, int64_t cols, FloatType type) {
    const float* values = Floats(rows * cols, 0.2f);
    if (type == FloatType::kFloat32) return {values, type, rows, cols};
    std::vector<uint16_t> rounded(static_cast<size_t>(rows * cols));
    if (type == FloatType::kFloat16) {
      FloatToFp16(values, rounded.data(), rows * cols);
    } else {
      FloatToBf16(values, rounded.data(), rows * cols);
    }
    halves.push_back(std::move(rounded));
    return {halves.back().data(), type, rows, cols};
  }
  DecoderLinear Packed(LinearRole role, int bits, int64_t out, int64_t in) {
    const auto seed = static_cast<uint32_t>(packed.size());
    packed.push_back(MakeRandomLayer(bits, out, in, 2, seed).layer);
    for (float& value : packed.back().lookup_table) value *= 0.2f;
    DecoderLinear linear;
    linear.parts = {{role, 0, out}};
    linear.packed = packed.back();
    return linear;
  }
  DecoderLinear Dense(LinearRole role, int64_t out, int64_t in, FloatType type) {
    DecoderLinear linear;
    linear.parts = {{role, 0, out}};
    linear.dense = Matrix(out, in, type);
    linear.bias = Floats(out, 0.1f);
    return linear;
  }
  DecoderNorm Norm(NormRole role, int64_t size) {
    DecoderNorm norm;
    norm.role = role;
    norm.weight = Floats(size, 0.1f, 1);
    return norm;
  }

  HostModel() {
    packed.reserve(100);  // views point into it
    shape = {kHidden, kIntermediate, kHeads, kKvHeads, kHeadDim, kVocab, 1e-5f, Activation::kSilu};
    for (int i = 0; i < 2; ++i) {
      DecoderLayerWeights layer;
      layer.linears = {
          Packed(LinearRole::kQuery, 3 + i, kHeads * kHeadDim, kHidden),
          Packed(LinearRole::kKey, 3, kKvHeads * kHeadDim, kHidden),
          Dense(LinearRole::kValue, kKvHeads * kHeadDim, kHidden, FloatType::kBFloat16),
          Dense(LinearRole::kAttentionOut, kHidden, kHeads * kHeadDim, FloatType::kFloat16),
          Packed(LinearRole::kGate, 4, kIntermediate, kHidden),
          Packed(LinearRole::kUp, 4, kIntermediate, kHidden),
          Dense(LinearRole::kDown, kHidden, kIntermediate, FloatType::kFloat32)};
      layer.norms = {Norm(NormRole::kAttention, kHidden), Norm(NormRole::kMlp, kHidden),
                     Norm(NormRole::kQuery, kHeadDim), Norm(NormRole::kKey, kHeadDim)};
      layer.attention_window = i == 1 ? 150 : 0;
      layers.push_back(layer);
    }
    ends.embedding = Matrix(kVocab, kHidden, FloatType::kBFloat16);
    ends.norm = Norm(NormRole::kFinal, kHidden);
    ends.head = Matrix(kVocab, kHidden, FloatType::kFloat16);
    for (int64_t p = 0; p < kCapacity; ++p) {
      for (int64_t i = 0; i < kHeadDim / 2; ++i) {
        const double angle = static_cast<double>(p) * std::pow(100.0, -i / (kHeadDim / 2.0));
        cos.push_back(static_cast<float>(std::cos(angle)));
        sin.push_back(static_cast<float>(std::sin(angle)));
      }
    }
  }

  // Layers of one input are one matrix then.
  void PackAll() {
    for (DecoderLayerWeights& layer : layers) {
      layer.linears[0] = Packed(LinearRole::kQuery, 3, kHeads * kHeadDim, kHidden);
      layer.linears[2] = Packed(LinearRole::kValue, 3, kKvHeads * kHeadDim, kHidden);
      layer.linears[3] = Packed(LinearRole::kAttentionOut, 4, kHidden, kHeads * kHeadDim);
      layer.linears[6] = Packed(LinearRole::kDown, 3, kHidden, kIntermediate);
    }
  }

  std::shared_ptr<const CudaModel> Upload() const {
    auto model = std::make_shared<CudaModel>(shape);
    for (const DecoderLayerWeights& layer : layers) model->AddLayer(layer);
    model->SetEmbeddingAndHead(ends);
    return model;
  }
  RotaryRows Rotary() const { return {cos.data(), sin.data()}; }
};

// Replaces linear layers of one kind by one that has all their rows.
class Fuser {
 public:
  void Fuse(DecoderLayerWeights* layer, size_t first, size_t count) {
    const auto begin = layer->linears.begin() + static_cast<int64_t>(first);
    const std::vector<DecoderLinear> linears(begin, begin + static_cast<int64_t>(count));
    DecoderLinear whole = linears[0].packed ? Packed(linears) : Dense(linears);
    int64_t row = 0;
    for (const DecoderLinear& linear : linears) {
      whole.parts.push_back({linear.parts[0].role, row, linear.rows()});
      row += linear.rows();
    }
    layer->linears.erase(begin + 1, begin + static_cast<int64_t>(count));
    layer->linears[first] = whole;
  }

 private:
  DecoderLinear Packed(const std::vector<DecoderLinear>& linears) {
    std::vector<PackedView> views;
    for (const DecoderLinear& linear : linears) views.push_back(*linear.packed);
    packed_.push_back(JoinRows(views));
    DecoderLinear whole;
    whole.packed = packed_.back();
    return whole;
  }
  DecoderLinear Dense(const std::vector<DecoderLinear>& linears) {
    std::vector<uint16_t>& values = values_.emplace_back();
    std::vector<float>& bias = biases_.emplace_back();
    for (const DecoderLinear& linear : linears) {
      const auto* from = static_cast<const uint16_t*>(linear.dense.data);
      values.insert(values.end(), from, from + linear.rows() * linear.cols());
      bias.insert(bias.end(), linear.bias, linear.bias + linear.rows());
    }
    DecoderLinear whole;
    whole.dense = linears[0].dense;
    whole.dense.data = values.data();
    whole.dense.rows = static_cast<int64_t>(bias.size());
    whole.bias = bias.data();
    return whole;
  }

  std::deque<PackedLayer> packed_;
  std::deque<std::vector<uint16_t>> values_;
  std::deque<std::vector<float>> biases_;
};

}  // namespace sq::test
