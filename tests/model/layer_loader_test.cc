#include "sq/model/layer_loader.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

const at::Tensor& DownWeight(const DecoderLayer& layer) {
  return layer.linears.back().linear.dense();
}

// Whatever was announced, the layer that is asked for is given.
TEST(LayerLoaderTest, GivesTheLayersThatAreAskedFor) {
  const test::GoldenModel golden("llama-mha-fp16");
  const Model model = OpenModel(golden.folder);
  const int64_t last = model.config.num_layers - 1;
  ASSERT_GT(last, 0);
  for (const Device& device : {kCpu, ChooseDevice("cuda")}) {
    LayerLoader loader(model, DenseWeights::kFloat, device);
    const std::vector<std::pair<int64_t, int64_t>> calls = {
        {0, 1}, {1, 0}, {last, -1}, {last, last + 1}, {0, last}, {1, 0}, {0, 0}};
    for (const auto& [layer, next] : calls) {
      const DecoderLayer expected = LoadDecoderLayer(model, layer, DenseWeights::kFloat, device);
      EXPECT_TRUE(at::equal(DownWeight(loader.Load(layer, next)), DownWeight(expected)))
          << "layer " << layer;
    }
  }
}

TEST(LayerLoaderTest, AnErrorComesWithTheLayerThatHasIt) {
  const test::GoldenModel golden("llama-mha-fp16");
  Model model = OpenModel(golden.folder);
  std::vector<FileTensor> tensors;
  for (const std::string& name : model.store.Names()) {
    tensors.push_back(model.store.Get(name));
    if (name == "model.layers.1.mlp.down_proj.weight") {
      std::swap(tensors.back().shape[0], tensors.back().shape[1]);
    }
  }
  model.store = TensorStore::Of(golden.folder, tensors);
  LayerLoader loader(model, DenseWeights::kFloat, ChooseDevice("cuda"));
  EXPECT_NO_THROW(loader.Load(0, 1));
  EXPECT_THAT(test::MessageOf([&] { loader.Load(1, -1); }),
              ::testing::HasSubstr("model.layers.1.mlp.down_proj.weight"));
}

}  // namespace
}  // namespace sq
