// The decoder as a whole on a small random model; what it computes is compared with LibTorch in
// tests/model_cuda.
#include <gtest/gtest.h>

#include <cmath>
#include <deque>
#include <random>

#include "sq/base/half.h"
#include "sq/kernels/cuda_decoder.h"
#include "sq/kernels/cuda_device.h"
#include "tests/support/cuda_memory.h"
#include "tests/support/error_message.h"
#include "tests/support/random_layer.h"

namespace sq {
namespace {

using test::MessageOf;

constexpr int64_t kHidden = 64, kIntermediate = 96, kHeads = 4, kKvHeads = 2, kHeadDim = 16,
                  kVocab = 40, kCapacity = 700;

// A model on the host: packed layers of 3 and 4 bits and dense ones of each type.
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
    packed.push_back(test::MakeRandomLayer(bits, out, in, 2, seed).layer);
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

std::vector<std::vector<int32_t>> Prompt(int64_t tokens) {
  std::vector<std::vector<int32_t>> ids(2);
  for (int64_t t = 0; t < tokens; ++t) {
    ids[0].push_back(static_cast<int32_t>(t * 7 % kVocab));
    ids[1].push_back(static_cast<int32_t>(t * t % kVocab));
  }
  return ids;
}

TEST(CudaDecoderTest, AReplayedGraphGivesWhatLaunchesGive) {
  const HostModel host;
  const auto model = host.Upload();
  CudaDecoder captured(model, 2, kCapacity, host.Rotary()),
      launched(model, 2, kCapacity, host.Rotary(), /*graphs=*/false);
  std::vector<float> a(2 * kVocab), b(2 * kVocab);
  // Until after a prompt, for which buffers grow and the graph is captured anew.
  const auto step = [&](const std::vector<std::vector<int32_t>>& ids) {
    captured.Step(ids, a.data());
    launched.Step(ids, b.data());
    ASSERT_EQ(a, b) << "after " << captured.length() << " tokens";
    EXPECT_EQ(captured.Best(), launched.Best());
  };
  for (int round = 0; round < 2; ++round) {
    for (int32_t t = 0; t < 3; ++t) step({{t}, {t + 5}});
    step(Prompt(140));  // so long that attention is split
    for (int32_t t = 0; t < 3; ++t) step({{t}, {t + 5}});
    captured.StepBest();
    launched.StepBest();
    EXPECT_EQ(captured.Best(), launched.Best());
    EXPECT_EQ(captured.length(), 147);
    captured.Reset();
    launched.Reset();
  }
}

// 300 tokens of 2 sequences are two chunks. Bound: the rounding of activations to fp16 falls
// differently where sums are in another order; 2^-11 of logits of N(0, 1) in each of some hundred
// inputs.
TEST(CudaDecoderTest, APromptGivesWhatItsTokensGiveOneByOne) {
  const HostModel host;
  const auto model = host.Upload();
  CudaDecoder whole(model, 2, kCapacity, host.Rotary()),
      by_token(model, 2, kCapacity, host.Rotary());
  const auto ids = Prompt(300);
  std::vector<float> a(2 * kVocab), b(2 * kVocab);
  whole.Step(ids, a.data());
  for (size_t t = 0; t < ids[0].size(); ++t) {
    const bool last = t + 1 == ids[0].size();
    by_token.Step({{ids[0][t]}, {ids[1][t]}}, last ? b.data() : nullptr);
  }
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(a[i], b[i], 0.02);
    most = std::max<double>(most, std::fabs(a[i]));
  }
  EXPECT_GT(most, 1);
  for (size_t s = 0; s < 2; ++s) {
    const auto row = a.begin() + static_cast<int64_t>(s) * kVocab;
    EXPECT_EQ(whole.Best()[s], std::max_element(row, row + kVocab) - row);
  }
}

// Steps that nobody waits for between: kernels of one begin while those of the one before it run.
TEST(CudaDecoderTest, StepsInARowGiveWhatStepsOneByOneGive) {
  HostModel host;
  host.PackAll();
  const auto model = host.Upload();
  CudaDecoder row(model, 1, kCapacity, host.Rotary()), each(model, 1, kCapacity, host.Rotary());
  for (const int steps : {1, 5, 9}) {
    row.Step({{steps}}, nullptr);
    each.Step({{steps}}, nullptr);
    for (int i = 0; i < steps; ++i) row.StepBest();
    for (int i = 0; i < steps; ++i) each.Step({each.Best()}, nullptr);
    EXPECT_EQ(row.Best(), each.Best());
    EXPECT_EQ(row.length(), each.length());
  }
  std::vector<float> a(kVocab), b(kVocab);
  row.Step({{3}}, a.data());
  each.Step({{3}}, b.data());
  EXPECT_EQ(a, b);
}

// A sequence alone, whose products pass norms on, and one of two, whose norms are kernels. Bound:
// as above.
TEST(CudaDecoderTest, NormsThatProductsPassOnAreNorms) {
  HostModel host;
  host.PackAll();
  const auto model = host.Upload();
  CudaDecoder alone(model, 1, kCapacity, host.Rotary()), two(model, 2, kCapacity, host.Rotary());
  std::vector<float> a(kVocab), b(2 * kVocab);
  for (int32_t t = 0; t < 6; ++t) {
    alone.Step({{t * 7}}, a.data());
    two.Step({{t * 7}, {t}}, b.data());
    float most = 0;
    for (size_t i = 0; i < kVocab; ++i) {
      EXPECT_NEAR(a[i], b[i], 0.02) << "token " << t;
      most = std::max(most, std::fabs(a[i]));
    }
    EXPECT_GT(most, 1);
    EXPECT_EQ(alone.Best()[0], two.Best()[0]);
  }
}

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
    packed_.push_back(test::JoinRows(views));
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

// Query, key and value in one tensor, and gate and up, packed or dense, give what they give apart.
TEST(CudaDecoderTest, FusedLayersGiveWhatTheirPartsGive) {
  HostModel apart;
  apart.PackAll();
  for (const size_t i : {4, 5}) {
    const LinearRole role = i == 4 ? LinearRole::kGate : LinearRole::kUp;
    apart.layers[1].linears[i] = apart.Dense(role, kIntermediate, kHidden, FloatType::kBFloat16);
  }
  HostModel fused = apart;
  Fuser fuser;
  for (DecoderLayerWeights& layer : fused.layers) {
    fuser.Fuse(&layer, 4, 2);
    fuser.Fuse(&layer, 0, 3);
    ASSERT_EQ(layer.linears.size(), 4u);
  }
  CudaDecoder a(apart.Upload(), 2, 16, apart.Rotary()), b(fused.Upload(), 2, 16, fused.Rotary());
  std::vector<float> expected(2 * kVocab), found(2 * kVocab);
  for (int32_t t = 0; t < 3; ++t) {
    a.Step({{t}, {t + 1}}, expected.data());
    b.Step({{t}, {t + 1}}, found.data());
    EXPECT_EQ(found, expected) << "token " << t;
  }
}

TEST(CudaDecoderTest, RepeatsBitForBitInAnyOrderOfThreads) {
  const HostModel host;
  const auto model = host.Upload();
  std::vector<float> first;
  for (const uint64_t seed : {0, 1, 2}) {
    test::SetScheduleSeed(seed);
    CudaDecoder decoder(model, 2, kCapacity, host.Rotary());
    std::vector<float> logits(2 * kVocab);
    decoder.Step(Prompt(30), logits.data());
    decoder.StepBest();
    decoder.Step({{1}, {2}}, logits.data());
    if (first.empty()) first = logits;
    EXPECT_EQ(logits, first) << "schedule " << seed;
    test::SetScheduleSeed(0);
  }
}

TEST(CudaDecoderTest, CountsItsMemory) {
  const HostModel host;
  const int64_t before = CudaMemoryInUse().used;
  {
    const auto model = host.Upload();
    EXPECT_EQ(CudaMemoryInUse().used - before, model->Bytes());
    // The embedding, of which a step reads a row.
    EXPECT_EQ(model->StepBytes(), model->Bytes() - 2 * kVocab * kHidden);
    const CudaDecoder decoder(model, 1, kCapacity, host.Rotary());
    const int64_t cache = 2 * 2 * 2 * kKvHeads * kCapacity * kHeadDim;
    EXPECT_GT(CudaMemoryInUse().used - before, model->Bytes() + cache);
    EXPECT_GE(CudaMemoryInUse().peak, CudaMemoryInUse().used);
  }
  EXPECT_EQ(CudaMemoryInUse().used, before);
}

TEST(CudaDecoderTest, ATiedHeadIsHeldOnce) {
  HostModel host;
  const int64_t apart = host.Upload()->Bytes();
  host.ends.head = host.ends.embedding;
  const auto tied = host.Upload();
  EXPECT_EQ(tied->Bytes(), apart - 2 * kVocab * kHidden);
  EXPECT_EQ(tied->StepBytes(), tied->Bytes());
}

// Values that fp16 does not hold make the layer's products bf16.
TEST(CudaDecoderTest, TakesWeightsBeyondFp16) {
  HostModel host;
  std::vector<float> head(kVocab * kHidden, 0);
  for (int64_t v = 0; v < kVocab; ++v) head[v * kHidden + v] = 1e6f;
  host.ends.head = {head.data(), FloatType::kFloat32, kVocab, kHidden};
  const auto model = host.Upload();
  CudaDecoder decoder(model, 1, 8, host.Rotary());
  std::vector<float> logits(kVocab);
  decoder.Step({{3}}, logits.data());
  double squares = 0;
  for (const float logit : logits) squares += std::pow(logit / 1e6, 2) / kVocab;
  EXPECT_NEAR(squares, 1, 0.7);  // of a normalized vector
}

#ifdef SQ_CUDA_EMULATED  // the emulated device's memory can be made small
TEST(CudaDecoderTest, SaysWhatMemoryIsWantedAndWhatHelps) {
  const HostModel host;
  const auto model = host.Upload();
  const size_t used = shim::DeviceMemoryUsed();
  shim::SetDeviceMemory(used + (size_t{64} << 20));
  const std::string of_cache =
      MessageOf([&] { CudaDecoder(model, 1000, kCapacity, host.Rotary()); });
  shim::SetDeviceMemory(used + 1000);
  const std::string of_weights = MessageOf([&] { host.Upload(); });
  shim::SetDeviceMemory(size_t{8} << 30);
  EXPECT_EQ(of_cache.find("CUDA: out of memory: the key-value cache wants 44800000 bytes"), 0u)
      << of_cache;
  EXPECT_NE(of_cache.find("are free; fewer sequences or fewer tokens need less"), std::string::npos)
      << of_cache;
  EXPECT_NE(of_weights.find("are free; quantized to fewer bits the model needs less"),
            std::string::npos)
      << of_weights;
}
#endif

TEST(CudaDecoderTest, RefusesSizesThatTheKernelsDoNotTake) {
  DecoderShape shape = HostModel().shape;
  shape.hidden = 68;
  EXPECT_EQ(MessageOf([&] { CudaModel{shape}; }),
            "hidden size 68: the CUDA decoder takes multiples of 8 up to 16384");
  shape = HostModel().shape;
  shape.head_dim = 264;
  EXPECT_EQ(MessageOf([&] { CudaModel{shape}; }),
            "heads of 264: the CUDA decoder takes multiples of 8 up to 256");
  HostModel host;
  host.layers[0].linears[1].packed = host.layers[0].linears[0].packed;
  host.layers[0].linears[1].parts[0].rows = kHeads * kHeadDim;
  EXPECT_EQ(
      MessageOf([&] { host.Upload(); }),
      "layer 0, query, key and value, number 2: expected a layer of [32, 64], found [64, 64]");
  HostModel without_norm;
  without_norm.layers[1].norms.erase(without_norm.layers[1].norms.begin() + 1);
  EXPECT_EQ(MessageOf([&] { without_norm.Upload(); }),
            "layer 1, expected a norm before attention and one before the MLP");
  HostModel without_value;
  without_value.layers[0].linears.erase(without_value.layers[0].linears.begin() + 2);
  EXPECT_EQ(MessageOf([&] { without_value.Upload(); }),
            "layer 0, query, key and value: has no weights");
  HostModel beyond;
  beyond.layers[0].linears[0].parts[0].rows += 1;
  EXPECT_EQ(MessageOf([&] { beyond.Upload(); }), "rows 0 to 65 of a linear layer of 64");
}

TEST(CudaDecoderTest, RefusesTokensBeyondItsCapacity) {
  const HostModel host;
  CudaDecoder decoder(host.Upload(), 1, 4, host.Rotary());
  decoder.Step({{1, 2, 3}}, nullptr);
  EXPECT_EQ(MessageOf([&] {
              decoder.Step({{4, 5}}, nullptr);
            }),
            "decoding of 2 tokens after 3: there is room for 4");
  decoder.StepBest();
  EXPECT_EQ(MessageOf([&] { decoder.StepBest(); }),
            "decoding of a token after 4: there is room for 4");
  EXPECT_EQ(decoder.length(), 4);
}

}  // namespace
}  // namespace sq
