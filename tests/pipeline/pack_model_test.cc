#include "sq/pipeline/pack_model.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/model/transformer.h"
#include "sq/pipeline/quantize_model.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

class PackModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    QuantizeModelOptions options;
    options.model = source_;
    options.output = quantized_;
    options.bits = 4;
    options.outliers.outlier_fraction = 0.01;
    options.uniform_sensitivity = true;
    QuantizeModel(options);
  }

  const std::string folder_ = test::ScratchFolder();
  const std::string source_ = test::GoldenModel("llama-gqa-tied-fp32").folder;
  const std::string quantized_ = folder_ + "/quantized";
};

TEST_F(PackModelTest, DequantizedWeightsAreThePackedOnesInFp16) {
  DequantizeFolder(quantized_, folder_ + "/plain");
  const Model packed = OpenModel(quantized_), plain = OpenModel(folder_ + "/plain");
  EXPECT_EQ(plain.config.quantized_bits, 0);
  for (const LinearInfo& linear : LayerLinears(packed.config, 1)) {
    const PackedLayer layer =
        ReadPackedLayer(packed.store, linear.name, linear.out_features, linear.in_features);
    at::Tensor values = at::empty({linear.out_features, linear.in_features});
    Dequantize(layer, 0, {values.data_ptr<float>(), linear.out_features, linear.in_features});
    EXPECT_TRUE(at::equal(LoadLinear(plain.store, linear, DenseWeights::kFloat, kCpu).dense(),
                          values.to(at::kHalf).to(at::kFloat)));
  }
}

TEST_F(PackModelTest, InspectCountsWhatIsThere) {
  const nlohmann::ordered_json inspected = Inspect(quantized_);
  const Model model = OpenModel(quantized_);
  EXPECT_EQ(inspected["packed"]["layers"], model.config.num_layers * 7);
  EXPECT_NEAR(inspected["packed"]["sparsity_percent"].get<double>(), 1.0, 0.05);
  EXPECT_EQ(inspected["tensors"].size(), model.store.Names().size());
  EXPECT_EQ(Verify(quantized_), model.config.num_layers * 7);
}

TEST_F(PackModelTest, WhatIsNotQuantizedIsNotExported) {
  EXPECT_THAT(test::MessageOf([&] { ExportTorchFile(source_, folder_ + "/x.pt", false); }),
              HasSubstr("is not quantized"));
  EXPECT_THAT(test::NamesIn(folder_), ::testing::ElementsAre("quantized"));
}

}  // namespace
}  // namespace sq
