#include "sq/model/transformer.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>

#include <filesystem>

#include "sq/base/error.h"
#include "sq/checkpoint/checkpoint_writer.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// A copy of a golden model whose tensors may be left out or renamed.
std::string CopyWith(const std::string& name, const std::function<std::string(std::string)>& rename,
                     const std::string& of = "llama-mha-fp16") {
  const test::GoldenModel golden(of);
  const std::string folder = std::string(SQ_TEST_SCRATCH) + "/transformer-" + name;
  fs::remove_all(folder);
  fs::create_directories(folder);
  fs::copy(golden.folder + "/config.json", folder);
  const TensorStore store = TensorStore::Open(golden.folder);
  std::vector<TensorView> tensors;
  for (const std::string& old : store.Names()) {
    const FileTensor& tensor = store.Get(old);
    const std::string renamed = rename(old);
    if (!renamed.empty()) {
      tensors.push_back({renamed, tensor.dtype, tensor.shape, tensor.data(), tensor.bytes});
    }
  }
  WriteCheckpoint(folder, tensors, [&](size_t i) { return tensors[i].data; });
  return folder;
}

TEST(TransformerTest, NamesEveryMissingAndUnknownTensor) {
  const std::string folder = CopyWith("renamed", [](std::string name) {
    if (name == "model.layers.1.mlp.up_proj.weight") return std::string();
    if (name == "model.norm.weight") return std::string("model.normal.weight");
    return name;
  });
  const std::string message = test::MessageOf([&] { OpenModel(folder); });
  EXPECT_THAT(message, HasSubstr(folder));
  EXPECT_THAT(message, HasSubstr("tensor model.norm.weight is missing"));
  EXPECT_THAT(message, HasSubstr("tensor model.layers.1.mlp.up_proj.weight is missing"));
  EXPECT_THAT(message, HasSubstr("tensor model.normal.weight is unknown"));
}

TEST(TransformerTest, OldRotaryFrequenciesAreNoUnknownTensor) {
  const std::string folder = CopyWith("inv-freq", [](const std::string& name) { return name; });
  const TensorStore store = TensorStore::Open(folder);
  std::vector<TensorView> tensors;
  for (const std::string& name : store.Names()) {
    const FileTensor& tensor = store.Get(name);
    tensors.push_back({name, tensor.dtype, tensor.shape, tensor.data(), tensor.bytes});
  }
  const std::vector<float> frequencies(8, 1.0f);
  tensors.push_back(
      {"model.layers.0.self_attn.rotary_emb.inv_freq", DType::kF32, {8}, frequencies.data(), 32});
  WriteCheckpoint(folder, tensors, [&](size_t i) { return tensors[i].data; });
  EXPECT_NO_THROW(OpenModel(folder));
}

TEST(TransformerTest, RotaryAnglesFollowTheirDefinition) {
  ModelConfig config;
  config.model_type = "llama";
  config.head_dim = 8;
  config.rope.theta = 100;
  const RopeTable table = MakeRopeTable(config, 5, 3);
  for (int64_t t = 0; t < 3; ++t) {
    for (int64_t i = 0; i < 8; ++i) {
      const double angle = static_cast<double>(5 + t) * std::pow(100.0, -2.0 * (i % 4) / 8);
      EXPECT_NEAR(table.cos[t][i].item<double>(), std::cos(angle), 1e-6);
      EXPECT_NEAR(table.sin[t][i].item<double>(), std::sin(angle), 1e-6);
    }
  }
  // Linear scaling by 5: position 25 turns as far as position 5 does without.
  const RopeTable plain = MakeRopeTable(config, 5, 1);
  config.rope.scaling = Rope::Scaling::kLinear;
  config.rope.factor = 5;
  EXPECT_TRUE(at::allclose(MakeRopeTable(config, 25, 1).cos, plain.cos, 1e-5, 1e-5));
}

TEST(TransformerTest, LaterTokensDoNotReachEarlierOnes) {
  const test::GoldenModel golden("llama-gqa-tied-fp32");
  const Model model = OpenModel(golden.folder);
  const DecoderLayer layer = LoadDecoderLayer(model, 0);
  const c10::NoGradGuard no_grad;
  at::manual_seed(3);
  const at::Tensor hidden = at::randn({1, 12, model.config.hidden_size});
  at::Tensor changed = hidden.clone();
  changed.select(1, 7).add_(1);
  const RopeTable rope = MakeRopeTable(model.config, 0, 12);
  const at::Tensor a = DecoderForward(model.config, layer, hidden, rope);
  const at::Tensor b = DecoderForward(model.config, layer, changed, rope);
  EXPECT_TRUE(at::equal(a.narrow(1, 0, 7), b.narrow(1, 0, 7)));
  EXPECT_FALSE(at::allclose(a.narrow(1, 7, 5), b.narrow(1, 7, 5)));
}

TEST(TransformerTest, CheckpointsOfTheBareDecoderLackAPrefix) {
  const std::string folder = CopyWith(
      "bare", [](const std::string& name) { return name.substr(sizeof "model." - 1); }, "opt-fp16");
  const test::GoldenModel golden("opt-fp16");
  const Model bare = OpenModel(folder), full = OpenModel(golden.folder);
  EXPECT_EQ(bare.store.Names(), full.store.Names());
  EXPECT_TRUE(at::equal(EmbedTokens(bare, {1, 2}), EmbedTokens(full, {1, 2})));
}

TEST(TransformerTest, LearnedPositionsEnd) {
  const Model model = OpenModel(test::GoldenModel("opt-fp16").folder);
  const int64_t positions = model.config.max_positions;
  const at::Tensor last = EmbedTokens(model, {5}, positions - 1);
  EXPECT_FALSE(at::equal(last, EmbedTokens(model, {5}, 0)));
  EXPECT_THAT(test::MessageOf([&] {
                EmbedTokens(model, {5, 6}, positions - 1);
              }),
              HasSubstr("257 tokens in a sequence, but the model has positions for 256"));
}

TEST(TransformerTest, TokensOutsideTheVocabularyAreRefused) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  const std::string message = test::MessageOf([&] {
    EmbedTokens(model, {0, static_cast<int32_t>(model.config.vocab_size)});
  });
  EXPECT_THAT(message, HasSubstr("outside the vocabulary"));
}

}  // namespace
}  // namespace sq
