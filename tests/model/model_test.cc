#include "sq/model/model.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <fstream>

#include "sq/base/output_file.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/model/weights.h"
#include "tests/support/changed_model.h"
#include "tests/support/error_message.h"
#include "tests/support/random_layer.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::ChangedModel;
using test::MessageOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kHead[] = "lm_head.weight", kEmbedding[] = "model.embed_tokens.weight";
constexpr char kUp[] = "model.layers.1.mlp.up_proj.weight";

class ModelTest : public ::testing::Test {
 protected:
  Model Open(const ChangedModel& model, bool strict = false) const {
    OpenOptions options;
    options.strict = strict;
    return OpenModel(model.Write(folder_), options);
  }
  std::string Refusal(const ChangedModel& model, bool strict = false) const {
    return MessageOf([&] { Open(model, strict); });
  }

  const std::string folder_ = test::ScratchFolder();
};

TEST_F(ModelTest, NamesEveryTensorAtFault) {
  ChangedModel changed("llama-mha-fp16");
  changed.tensors.erase(kUp);
  changed.Rename("model.norm.weight", "model.normal.weight");
  changed.tensors[kHead].shape = {64, 128};
  changed.Set("model.layers.0.input_layernorm.weight", DType::kI32, {64},
              std::vector<int32_t>(64, 1));
  EXPECT_EQ(Refusal(changed),
            folder_ +
                ": tensor model.layers.0.input_layernorm.weight in model.safetensors: expected "
                "type F32, F16, "
                "BF16 or F64, found I32; tensor model.norm.weight is missing; tensor "
                "lm_head.weight in model.safetensors: expected shape [128, 64], found [64, 128]; "
                "tensor " +
                kUp + " is missing");
  EXPECT_THAT(Refusal(changed, /*strict=*/true),
              HasSubstr("; tensor model.normal.weight is unknown"));
}

// transformers would apply it.
TEST_F(ModelTest, AnAdapterBesideTheModelIsNotPassedOver) {
  ChangedModel changed("llama-mha-fp16");
  changed.Write(folder_);
  WriteFile(folder_ + "/adapter_config.json", "{}");
  EXPECT_THAT(MessageOf([&] { OpenModel(folder_); }),
              HasSubstr(folder_ + "/adapter_config.json: an adapter (LoRA) lies in the folder"));
}

TEST_F(ModelTest, APackedLayersTensorsAreCheckedToo) {
  const std::string name = "model.layers.0.self_attn.q_proj";
  ChangedModel changed("llama-mha-fp16");
  changed.tensors.erase(name + ".weight");
  const auto packed = test::MakeRandomLayer(3, 64, 64, 1, 1).layer;
  for (const TensorView& tensor : PackedTensors(packed, name))
    changed.tensors[tensor.name] = tensor;
  EXPECT_THAT(Open(changed).warnings, IsEmpty());
  changed.tensors[name + ".lookup_table"].shape = {32, 16};
  changed.tensors.erase(name + ".cols");
  EXPECT_EQ(Refusal(changed), folder_ + ": tensor " + name +
                                  ".lookup_table: expected shape [64, 4, 8 or 16], found [32, 16]; "
                                  "tensor " +
                                  name + ".cols is missing");
}

TEST_F(ModelTest, UnusedTensorsAreLeftOutWithAWarning) {
  const std::string frequencies = "model.layers.0.self_attn.rotary_emb.inv_freq";
  ChangedModel changed("llama-mha-fp16");
  const std::vector<std::string> names = Open(changed).store.Names();
  changed.Set(frequencies, DType::kF32, {8}, std::vector<float>(8, 1));
  Model model = Open(changed);
  EXPECT_THAT(model.warnings, ElementsAre(folder_ + ": tensor " + frequencies +
                                          " is not used, and not carried into an output"));
  EXPECT_EQ(model.store.Names(), names);
  EXPECT_EQ(Refusal(changed, /*strict=*/true), folder_ + ": tensor " + frequencies + " is unknown");

  changed.Set("model.layers.1.self_attn.k_scale", DType::kF32, {}, std::vector<float>(1, 1));
  changed.Set("v_head.weight", DType::kBF16, {1, 64}, std::vector<uint16_t>(64, 0));
  changed.Set("model.layers.2.mlp.up_proj.weight", DType::kI8, {1}, std::vector<int8_t>(1, 0));
  model = Open(changed);
  EXPECT_THAT(model.warnings,
              ElementsAre(folder_ + ": 4 tensors (" + frequencies +
                          ", model.layers.1.self_attn.k_scale, model.layers.2.mlp.up_proj.weight "
                          "and 1 more) are not used, and not carried into an output"));
  EXPECT_EQ(model.store.Names(), names);
}

TEST_F(ModelTest, DoublesAreFloatsWithAWarning) {
  ChangedModel changed("llama-gqa-tied-fp32");
  const Model before = Open(changed);
  const at::Tensor embedded = EmbedTokens(before, {3, 5});
  const at::Tensor norm = LoadHead(before, DenseWeights::kFloat, kCpu).norm.weight;
  changed.Widen("model.norm.weight");
  changed.Widen(kEmbedding);
  const Model model = Open(changed);
  EXPECT_THAT(model.warnings, ElementsAre(folder_ + ": 2 tensors (model.embed_tokens.weight, "
                                                    "model.norm.weight) of type F64, converted to "
                                                    "F32"));
  EXPECT_TRUE(at::equal(EmbedTokens(model, {3, 5}), embedded));
  EXPECT_TRUE(at::equal(LoadHead(model, DenseWeights::kFloat, kCpu).norm.weight, norm));
  EXPECT_TRUE(at::equal(LoadHead(model, DenseWeights::kStored, kCpu).linear.dense(),
                        LoadHead(before, DenseWeights::kFloat, kCpu).linear.dense()));
}

TEST_F(ModelTest, AHeadOfItsOwnIsUsedWhereItDiffers) {
  ChangedModel changed("llama-gqa-tied-fp32");
  std::vector<float> head = ReadFloats(Open(changed).store.Get(kEmbedding));
  changed.Set(kHead, DType::kF32, {128, 32}, head);
  Model model = Open(changed, /*strict=*/true);
  EXPECT_TRUE(model.config.tie_word_embeddings);
  EXPECT_EQ(model.store.Find(kHead), nullptr);
  EXPECT_THAT(model.warnings, IsEmpty());

  head.back() += 1;
  changed.Set(kHead, DType::kF32, {128, 32}, head);
  model = Open(changed, /*strict=*/true);
  EXPECT_FALSE(model.config.tie_word_embeddings);
  EXPECT_THAT(model.warnings,
              ElementsAre(folder_ + ": tensor lm_head.weight differs from "
                                    "model.embed_tokens.weight, to which config.json ties it: it "
                                    "is used as it is, and not tied"));
  const at::Tensor used = LoadHead(model, DenseWeights::kFloat, kCpu).linear.dense();
  EXPECT_EQ(used[127][31].item<float>(), head.back());
  EXPECT_NE(EmbedTokens(model, {127})[0][31].item<float>(), head.back());
  // One of another shape is no tied head either.
  changed.Set(kHead, DType::kF32, {127, 32}, std::vector<float>(127 * 32, 0));
  EXPECT_EQ(Refusal(changed), folder_ +
                                  ": tensor lm_head.weight in model.safetensors: expected shape "
                                  "[128, 32], found [127, 32]");
}

TEST_F(ModelTest, ATiedHeadMayBeStoredAlone) {
  for (const std::string name : {"llama-gqa-tied-fp32", "opt-fp16"}) {
    const Model whole = OpenModel(test::GoldenModel(name).folder);
    ChangedModel changed(name);
    changed.Rename(whole.config.architecture->embedding, kHead);
    const Model model = Open(changed, /*strict=*/true);
    EXPECT_THAT(model.warnings, IsEmpty());
    EXPECT_TRUE(model.config.tie_word_embeddings);
    EXPECT_EQ(model.store.Names(), whole.store.Names());
    EXPECT_TRUE(at::equal(EmbedTokens(model, {9}), EmbedTokens(whole, {9})));
  }
  // Where it is not tied there is nothing to take it for.
  ChangedModel changed("llama-mha-fp16");
  changed.tensors.erase(kEmbedding);
  EXPECT_EQ(Refusal(changed), folder_ + ": tensor model.embed_tokens.weight is missing");
}

TEST_F(ModelTest, TheIndexMayListATiedHeadInVain) {
  ChangedModel changed("llama-gqa-tied-fp32");
  changed.Write(folder_);
  nlohmann::json index;
  for (const auto& [name, view] : changed.tensors) {
    index["weight_map"][name] = "model-00001-of-00001.safetensors";
  }
  index["weight_map"][kHead] = "model-00001-of-00001.safetensors";
  std::filesystem::rename(folder_ + "/model.safetensors",
                          folder_ + "/model-00001-of-00001.safetensors");
  const std::string path = folder_ + "/model.safetensors.index.json";
  std::ofstream(path) << index;
  EXPECT_THAT(OpenModel(folder_).warnings, IsEmpty());
  changed.config["tie_word_embeddings"] = false;
  std::ofstream(folder_ + "/config.json") << changed.config;
  EXPECT_EQ(MessageOf([&] { OpenModel(folder_); }),
            folder_ + ": tensor lm_head.weight is missing; " + path +
                " expects it in model-00001-of-00001.safetensors");
}

TEST_F(ModelTest, OutliersThatTheIndexListsMustBeThere) {
  const std::string name = "model.layers.0.self_attn.q_proj";
  ChangedModel changed("llama-gqa-tied-fp32");
  changed.tensors.erase(name + ".weight");
  const auto packed = test::MakeRandomLayer(3, 32, 32, 0, 1).layer;
  for (const TensorView& tensor : PackedTensors(packed, name))
    changed.tensors[tensor.name] = tensor;
  for (const char* part : {".rows", ".cols", ".vals"}) changed.tensors.erase(name + part);
  changed.Write(folder_);
  EXPECT_EQ(MessageOf([&] { OpenModel(folder_); }), "");
  nlohmann::json index;
  for (const auto& [tensor, view] : changed.tensors) index["weight_map"][tensor] = "a.safetensors";
  index["weight_map"][name + ".vals"] = "a.safetensors";
  std::filesystem::rename(folder_ + "/model.safetensors", folder_ + "/a.safetensors");
  std::ofstream(folder_ + "/model.safetensors.index.json") << index;
  EXPECT_THAT(MessageOf([&] { OpenModel(folder_); }),
              HasSubstr("tensor " + name + ".vals is missing; "));
}

TEST_F(ModelTest, CheckpointsOfTheBareDecoderLackAPrefix) {
  const Model full = OpenModel(test::GoldenModel("opt-fp16").folder);
  ChangedModel changed("opt-fp16");
  for (const std::string& name : full.store.Names()) {
    changed.Rename(name, name.substr(sizeof "model." - 1));
  }
  const Model bare = Open(changed);
  EXPECT_EQ(bare.store.Names(), full.store.Names());
  EXPECT_TRUE(at::equal(EmbedTokens(bare, {1, 2}), EmbedTokens(full, {1, 2})));
}

}  // namespace
}  // namespace sq
