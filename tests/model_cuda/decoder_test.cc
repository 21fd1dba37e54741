// Decoding by the CUDA kernels, run on the host, beside decoding by LibTorch on the CPU.
#include "sq/model/decoder.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/checkpoint/safetensors.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"
#include "tests/support/random_layer.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

constexpr Device kEmulated{true, 0, true};

at::Tensor ToHalf(const at::Tensor& x) { return x.to(at::kHalf).to(at::kFloat); }

// LibTorch's forward with the roundings that cuda_decoder.h tells of: weights that are fp32, inputs
// of linear layers, keys and values. Where heads have norms the newest token's key is not rounded.
class RoundedDecoder {
 public:
  RoundedDecoder(const Model& model, int64_t capacity) : model_(model) {
    for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
      layers_.push_back(LoadDecoderLayer(model, layer, DenseWeights::kFloat, kCpu));
      for (LayerLinear& entry : layers_.back().linears) {
        auto* const dense = std::get_if<at::Tensor>(&entry.linear.weight);
        if (dense != nullptr) *dense = ToHalf(*dense);
      }
      const auto room = [&] {
        return at::zeros({1, model.config.num_kv_heads, capacity, model.config.head_dim});
      };
      caches_.push_back({room(), room(), 0});
    }
    head_ = LoadHead(model, DenseWeights::kFloat, kCpu);
    head_.linear.weight = ToHalf(head_.linear.dense());
  }

  at::Tensor Step(int32_t id) {
    const c10::NoGradGuard no_grad;
    at::Tensor hidden = EmbedTokens(model_, {id}, length_).unsqueeze(0);
    const bool learned = model_.config.architecture->positions != nullptr;
    if (!learned) hidden = ToHalf(hidden);  // a row of the table
    const RopeTable rope = MakeRopeTable(model_.config, length_, 1, length_ + 1, kCpu);
    const auto apply = [&](size_t index, const Linear& linear, const at::Tensor& x) {
      const std::vector<LinearPart>& parts = layers_[0].linears[index].info.parts;
      const bool down = parts.front().role == LinearRole::kDown;
      at::Tensor y = ApplyLinear(linear, down ? ToHalf(x / 64) * 64 : ToHalf(x));
      for (const LinearPart& part : parts) {
        at::Tensor rows = y.narrow(-1, part.begin, part.rows);
        if (part.role == LinearRole::kValue) rows.copy_(ToHalf(rows));
        if (part.role == LinearRole::kKey) rows.copy_(RoundKey(rows, rope));
      }
      return y;
    };
    for (size_t i = 0; i < layers_.size(); ++i) {
      hidden = DecoderForward(model_.config, layers_[i], hidden, rope, &caches_[i], apply);
      caches_[i].keys = ToHalf(caches_[i].keys);  // exact already, or those with norms
    }
    ++length_;
    return Logits(head_, ToHalf(FinalNorm(model_.config, head_, hidden)))[0][0];
  }

 private:
  // The key that becomes a rounded one when it is rotated.
  at::Tensor RoundKey(const at::Tensor& key, const RopeTable& rope) const {
    if (layers_[0].key_norm.weight.defined()) return key;
    if (!rope.cos.defined()) return ToHalf(key);
    const int64_t half = model_.config.head_dim / 2;
    const at::Tensor heads = key.view({-1, 2 * half});
    const auto rotate = [&](const at::Tensor& x, double direction) {
      const at::Tensor turned = at::cat({-x.narrow(1, half, half), x.narrow(1, 0, half)}, 1);
      return x * rope.cos + direction * turned * rope.sin;
    };
    const double scale = model_.config.rope.attention_factor;  // of a rotation, and of its inverse
    return (rotate(ToHalf(rotate(heads, 1)), -1) / (scale * scale)).view(key.sizes());
  }

  const Model& model_;
  std::vector<DecoderLayer> layers_;
  Head head_;
  std::vector<LayerCache> caches_;
  int64_t length_ = 0;
};

double Farthest(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

class CudaDecoderGolden : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, CudaDecoderGolden, ::testing::ValuesIn(test::AllGoldenModels()));
class CudaDecoderPieces : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, CudaDecoderPieces, ::testing::ValuesIn(test::kGoldenModels));
class CudaDecoderLengths : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, CudaDecoderLengths, ::testing::ValuesIn(test::kLengthModels));

// How far the device's logits are from those of a rounded forward, token by token, and that from
// what is exact.
struct Distances {
  std::vector<double> of_device, of_rounding;
};

Distances Measure(const Model& model, const std::vector<int32_t>& ids, const at::Tensor& exact) {
  const auto capacity = static_cast<int64_t>(ids.size());
  RoundedDecoder rounded(model, capacity);
  Decoder decoder(LoadModel(model, kEmulated), 1, capacity);
  Distances distances;
  for (size_t t = 0; t < ids.size(); ++t) {
    const at::Tensor expected = rounded.Step(ids[t]);
    distances.of_device.push_back(Farthest(decoder.Step({{ids[t]}})[0], expected));
    distances.of_rounding.push_back(Farthest(expected, exact[static_cast<int64_t>(t)]));
  }
  return distances;
}

// Where every value is rounded to the same fp16 the logits differ by fp32's rounding, 1e-6. Sums in
// another order now and then end on the other side of a boundary: that is one rounding of some
// hundreds, whose effect together is of_rounding; a flipped key or value stays in the cache.
void ExpectTheSameRoundings(const Distances& distances, size_t least_equal) {
  const auto& far = distances.of_device;
  EXPECT_GE(std::count_if(far.begin(), far.end(), [](double d) { return d < 5e-6; }),
            static_cast<int64_t>(least_equal));
  EXPECT_LT(*std::max_element(far.begin(), far.end()),
            *std::max_element(distances.of_rounding.begin(), distances.of_rounding.end()));
}

TEST_P(CudaDecoderGolden, LogitsAreTheRoundedModels) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  const Distances distances = Measure(model, golden.Ids("tokens.2"), golden.Floats("logits.2"));
  // The reference does not round the newest key where heads have norms: only the first token, which
  // has no other to compare with, can be equal.
  const bool head_norms =
      LoadDecoderLayer(model, 0, DenseWeights::kFloat, kCpu).key_norm.weight.defined();
  ExpectTheSameRoundings(distances, head_norms ? 1 : 3);
  // What an error of 2^-12 in each of some hundred inputs of N(0, 1) may do here.
  EXPECT_LT(*std::max_element(distances.of_rounding.begin(), distances.of_rounding.end()), 0.02);
}

TEST_P(CudaDecoderGolden, GreedyTextIsThatOfTransformers) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  EXPECT_EQ(GenerateGreedy(LoadModel(model, kEmulated), golden.Ids("prompt"), 12),
            golden.Ids("continuation"));
}

// A prompt goes through other kernels than single tokens do, on the device in chunks.
TEST_P(CudaDecoderPieces, TextComesInPiecesOfAnySize) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  const auto loaded = LoadModel(model, kEmulated);
  const std::vector<int32_t> ids = golden.Ids("tokens.0");
  const at::Tensor expected = golden.Floats("logits.0");
  Decoder decoder(loaded, 1, static_cast<int64_t>(ids.size()));
  for (size_t begin = 0, size = 1; begin < ids.size(); begin += size, size = size % 13 + 4) {
    const size_t end = std::min(begin + size, ids.size());
    const at::Tensor logits = decoder.Step({{ids.begin() + begin, ids.begin() + end}});
    ASSERT_LT(Farthest(logits[0], expected[static_cast<int64_t>(end) - 1]), 0.02) << begin;
  }
}

// Rows of the device's table are replaced for a piece, and those of single tokens put back.
TEST_P(CudaDecoderLengths, PiecesAreRotatedByTheLengthSoFar) {
  const test::GoldenModel golden(GetParam());
  const std::vector<int32_t> ids = golden.Ids("tokens.0");
  const at::Tensor expected = golden.Floats("pieces.logits");
  const Model model = OpenModel(golden.folder);
  const auto loaded = LoadModel(model, kEmulated);
  const auto capacity = static_cast<int64_t>(ids.size());
  Decoder decoder(loaded, 1, capacity), fresh(loaded, 1, capacity);
  for (int round = 0; round < 2; ++round) {
    auto begin = ids.begin();
    int64_t piece = 0;
    for (const int32_t size : golden.Ids("pieces.sizes")) {
      const at::Tensor logits = decoder.Step({{begin, begin + size}});
      EXPECT_LT(Farthest(logits[0], expected[piece]), 0.02) << piece;
      begin += size;
      ++piece;
    }
    decoder.Reset();
  }
  for (const int32_t id : ids) ASSERT_TRUE(at::equal(decoder.Step({{id}}), fresh.Step({{id}})));
}

TEST(CudaDecoder, SequencesOfABatchDoNotMix) {
  const test::GoldenModel golden("mistral-window-bf16");
  const Model model = OpenModel(golden.folder);
  const auto loaded = LoadModel(model, kEmulated);
  const auto sequences = golden.Sequences();
  Decoder together(loaded, 3, 12), alone(loaded, 1, 12);
  std::vector<at::Tensor> expected;
  for (const auto& sequence : sequences) {
    alone.Reset();
    for (size_t t = 0; t < 12; ++t) expected.push_back(alone.Step({{sequence[t]}})[0]);
  }
  for (size_t t = 0; t < 12; ++t) {
    const at::Tensor logits =
        together.Step({{sequences[0][t]}, {sequences[1][t]}, {sequences[2][t]}});
    for (size_t s = 0; s < 3; ++s) {
      EXPECT_LT(Farthest(logits[static_cast<int64_t>(s)], expected[12 * s + t]), 1e-6);
    }
  }
}

TEST(CudaDecoder, GreedyStepsFeedWhatTheyReturned) {
  const test::GoldenModel golden("qwen2-tied-bf16");
  const Model model = OpenModel(golden.folder);
  const auto loaded = LoadModel(model, kEmulated);
  Decoder greedy(loaded, 2, 12), stepped(loaded, 2, 12);
  std::vector<std::vector<int32_t>> fed = {{3, 8, 20}, {9, 1, 4}};
  for (int step = 0; step < 8; ++step) {
    const std::vector<int32_t> best = greedy.StepGreedily(fed);
    const at::Tensor logits = stepped.Step(fed);
    ASSERT_EQ(best[0], logits[0].argmax().item<int64_t>()) << step;
    ASSERT_EQ(best[1], logits[1].argmax().item<int64_t>()) << step;
    EXPECT_EQ(greedy.length(), stepped.length());
    // Now and then another id than was returned.
    fed = {{best[0]}, {step == 3 ? (best[1] + 1) % 100 : best[1]}};
  }
}

TEST(CudaDecoder, RefusesWhatTheModelHasNoRowFor) {
  const test::GoldenModel golden("opt-fp16");
  Model model = OpenModel(golden.folder);
  const auto loaded = LoadModel(model, kEmulated);
  Decoder decoder(loaded, 1, 300);
  EXPECT_THAT(test::MessageOf([&] { decoder.Step({{128}}); }),
              ::testing::HasSubstr("token id 128 outside the vocabulary of 128"));
  EXPECT_THAT(test::MessageOf([&] { decoder.StepGreedily({{-1}}); }),
              ::testing::HasSubstr("token id -1 outside"));
  EXPECT_THAT(
      test::MessageOf([&] { decoder.Step({std::vector<int32_t>(257, 1)}); }),
      ::testing::HasSubstr("257 tokens in a sequence, but the model has positions for 256"));
}

// Layers packed in 3 and 4 bits beside dense ones: values of few bits, which fp16 holds.
PackedLayer MakeLayer(int bits, int64_t out, int64_t in, uint32_t seed) {
  PackedLayer layer = test::MakeRandomLayer(bits, out, in, seed % 2 == 0 ? 3 : 0, seed).layer;
  for (float& value : layer.lookup_table) value = std::round(16 * value) / 64;
  for (float& value : layer.outliers.vals) value = std::round(16 * value) / 64;
  return layer;
}

TEST(CudaDecoder, PackedLayersOfAnyBitsStandBesideDenseOnes) {
  const test::GoldenModel golden("llama-mha-fp16");
  const Model dense = OpenModel(golden.folder);
  const std::string folder = test::ScratchFolder();
  std::filesystem::copy(golden.folder + "/config.json", folder + "/config.json");
  std::vector<PackedLayer> layers;
  std::vector<std::string> names;
  for (int64_t layer = 0; layer < dense.config.num_layers; ++layer) {
    for (const LinearInfo& info : LayerLinears(dense.config, layer)) {
      // Layer 0: query, key and value in one, gate and up apart; layer 1: value dense, all of 4
      // bits.
      if (layer == 1 && info.parts[0].role == LinearRole::kValue) continue;
      const int bits = layer == 1 || info.parts[0].role == LinearRole::kUp ? 4 : 3;
      layers.push_back(MakeLayer(bits, info.out_features, info.in_features,
                                 static_cast<uint32_t>(layers.size())));
      names.push_back(info.name);
    }
  }
  std::vector<TensorView> tensors;
  for (size_t i = 0; i < layers.size(); ++i) {
    for (const TensorView& tensor : PackedTensors(layers[i], names[i])) tensors.push_back(tensor);
  }
  for (const std::string& name : dense.store.Names()) {
    const FileTensor& file = dense.store.Get(name);
    const std::string module = name.substr(0, name.rfind('.'));
    if (std::find(names.begin(), names.end(), module) != names.end()) continue;
    tensors.push_back({name, file.dtype, file.shape, file.data(), file.bytes});
  }
  WriteSafetensors(folder + "/model.safetensors", tensors, {});

  const Model model = OpenModel(folder);
  const std::vector<int32_t> ids = golden.Ids("tokens.1");
  const auto on_host = LoadModel(model, kCpu), on_device = LoadModel(model, kEmulated);
  Decoder exact(on_host, 1, static_cast<int64_t>(ids.size()));
  std::vector<at::Tensor> logits;
  for (const int32_t id : ids) logits.push_back(exact.Step({{id}})[0]);
  ExpectTheSameRoundings(Measure(model, ids, at::stack(logits)), 3);
  const std::vector<int32_t> prompt = golden.Ids("prompt");
  EXPECT_EQ(GenerateGreedy(on_device, prompt, 12), GenerateGreedy(on_host, prompt, 12));
}

}  // namespace
}  // namespace sq
