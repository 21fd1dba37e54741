#include "sq/model/decoder_weights.h"

#include <gtest/gtest.h>

#include "tests/support/golden_model.h"

namespace sq {
namespace {

// Keeps what it is given, and looks at it while it is there.
class Recorder : public DecoderModel {
 public:
  explicit Recorder(const DecoderShape& shape) : shape_(shape) {}

  void AddLayer(const DecoderLayerWeights& layer) override {
    int64_t rows = 0;
    for (const DecoderLinear& linear : layer.linears) {
      EXPECT_FALSE(linear.parts.empty());
      const LinearPart& last = linear.parts.back();
      EXPECT_EQ(linear.rows(), last.begin + last.rows);
      rows += linear.rows();
    }
    layers.push_back(rows);
    norms.push_back(layer.norms.size());
    biases.push_back(layer.linears.front().bias != nullptr);
    first_norm.push_back(layer.norms.front().weight[0]);
  }
  void SetEmbeddingAndHead(const EmbeddingAndHead& ends) override {
    EXPECT_EQ(ends.embedding.rows, shape_.vocab);
    EXPECT_EQ(ends.embedding.cols, shape_.hidden);
    EXPECT_NE(ends.norm.weight, nullptr);
    tied = ends.head.data == ends.embedding.data;
    positions = ends.positions.rows;
  }
  std::unique_ptr<DecoderSession> NewSession(int64_t, int64_t, const RotaryRows&) const override {
    return nullptr;
  }
  int64_t Bytes() const override { return 0; }
  int64_t StepBytes() const override { return 0; }

  std::vector<int64_t> layers;
  std::vector<size_t> norms;
  std::vector<bool> biases;
  std::vector<float> first_norm;
  bool tied = false;
  int64_t positions = 0;

 private:
  DecoderShape shape_;
};

TEST(DecoderWeightsTest, EveryModelHandsOverAllItsLayers) {
  for (const char* name : test::AllGoldenModels()) {
    SCOPED_TRACE(name);
    const Model model = OpenModel(test::GoldenModel(name).folder);
    const ModelConfig& config = model.config;
    Recorder recorder(DecoderShapeOf(config));
    LoadDecoderWeights(model, &recorder);
    ASSERT_EQ(static_cast<int64_t>(recorder.layers.size()), config.num_layers);
    const bool learned = config.architecture->positions != nullptr;
    EXPECT_EQ(recorder.positions, learned ? config.max_positions : 0);
    EXPECT_EQ(recorder.tied, config.tie_word_embeddings);
    for (int64_t layer = 0; layer < config.num_layers; ++layer) {
      const auto at = static_cast<size_t>(layer);
      int64_t rows = 0;
      for (const LinearInfo& info : LayerLinears(config, layer)) rows += info.out_features;
      EXPECT_EQ(recorder.layers[at], rows);
      EXPECT_EQ(recorder.norms[at], LayerNorms(config, layer).size());
      EXPECT_EQ(recorder.biases[at], config.qkv_bias);
      const std::string norm = LayerNorms(config, layer).front().WeightName();
      EXPECT_EQ(recorder.first_norm[at], ReadFloats(model.store.Get(norm))[0]);
    }
  }
}

TEST(DecoderWeightsTest, SizesAreTheConfigurations) {
  const Model model = OpenModel(test::GoldenModel("qwen3-bf16").folder);
  const DecoderShape shape = DecoderShapeOf(model.config);
  EXPECT_EQ(shape.hidden, model.config.hidden_size);
  EXPECT_EQ(shape.intermediate, model.config.intermediate_size);
  EXPECT_EQ(shape.heads, model.config.num_heads);
  EXPECT_EQ(shape.kv_heads, model.config.num_kv_heads);
  EXPECT_EQ(shape.head_dim, model.config.head_dim);
  EXPECT_EQ(shape.vocab, model.config.vocab_size);
  EXPECT_EQ(shape.norm_epsilon, static_cast<float>(model.config.norm_epsilon));
}

}  // namespace
}  // namespace sq
