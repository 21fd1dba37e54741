#include "sq/model/layer_pass.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/support/golden_model.h"

namespace sq {
namespace {

TEST(LayerPassTest, LayersComeInOrderAndAreCounted) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  for (const Device& device : {kCpu, ChooseDevice("cuda")}) {
    LayerLoader loader(model, PassWeights(device, false), device);
    std::vector<int64_t> layers, done;
    ForEachLayer(
        &loader, 2, device,
        [&](int64_t layer, const DecoderLayer& weights) {
          layers.push_back(layer);
          EXPECT_EQ(weights.linears.size(), LayerLinears(model.config, layer).size());
        },
        [&](int64_t count) { done.push_back(count); });
    EXPECT_EQ(layers, (std::vector<int64_t>{0, 1}));
    EXPECT_EQ(done, (std::vector<int64_t>{1, 2}));
  }
}

// Sequences of several lengths, as transformers computes each by itself.
TEST(LayerPassTest, SequencesGiveTheLogitsOfTransformers) {
  for (const char* name : test::AllGoldenModels()) {
    SCOPED_TRACE(name);
    const test::GoldenModel golden(name);
    const Model model = OpenModel(golden.folder);
    const auto sequences = golden.Sequences();
    for (const Device& device : {kCpu, ChooseDevice("cuda")}) {
      const SequencePass pass(model, sequences, device);
      at::Tensor hidden = at::empty({pass.tokens(), model.config.hidden_size}, at::kFloat);
      pass.Embed(hidden);
      LayerLoader loader(model, PassWeights(device, false), device);
      ForEachLayer(
          &loader, model.config.num_layers, device,
          [&](int64_t, const DecoderLayer& layer) { pass.Forward(layer, hidden, hidden); });
      const Head head = LoadHead(model, DenseWeights::kFloat, kCpu);
      for (size_t s = 0; s < sequences.size(); ++s) {
        const at::Tensor found = Logits(head, FinalNorm(model.config, head, pass.Rows(hidden, s)));
        const at::Tensor expected = golden.Floats("logits." + std::to_string(s));
        EXPECT_LT((found - expected).abs().max().item<float>(), 1e-4f) << "sequence " << s;
      }
    }
  }
}

TEST(LayerPassTest, DeviceWeightsAreBfloat16WhereThatIsWanted) {
  const Device device = ChooseDevice("cuda");
  EXPECT_EQ(PassWeights(kCpu, true), DenseWeights::kFloat);
  EXPECT_EQ(PassWeights(device, true), DenseWeights::kBFloat16);
  EXPECT_EQ(PassWeights(device, false), DenseWeights::kFloat);
}

}  // namespace
}  // namespace sq
