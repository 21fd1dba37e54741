#include "sq/pipeline/quantize_model.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "sq/base/error.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/model/transformer.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

class QuantizeModelGolden : public ::testing::TestWithParam<const char*> {
 protected:
  // Quantizes a golden model, calibrated with its own sequences.
  nlohmann::ordered_json Quantize(const OutlierOptions& outliers) {
    const std::string samples = folder_ + "/samples.json";
    std::ofstream(samples) << nlohmann::json(golden_.Sequences());
    QuantizeModelOptions options;
    options.model = golden_.folder;
    options.output = folder_ + "/out";
    options.bits = 3;
    options.outliers = outliers;
    options.calibration = samples;
    options.dtype = "float32";
    return QuantizeModel(options);
  }

  const test::GoldenModel golden_{GetParam()};
  const std::string folder_ = test::ScratchFolder();
};
INSTANTIATE_TEST_SUITE_P(Models, QuantizeModelGolden, ::testing::ValuesIn(test::kGoldenModels));

// The distortion of the written folder, from its own tensors and transformers' Fisher in float64.
TEST_P(QuantizeModelGolden, ReportsTheDistortionThatTheOutputHas) {
  const nlohmann::ordered_json report = Quantize(SparsityLevels(1.0));
  const Model source = OpenModel(golden_.folder), output = OpenModel(folder_ + "/out");
  double distortion = 0;
  int64_t nonzeros = 0;
  size_t entry = 0;
  for (int64_t l = 0; l < source.config.num_layers; ++l) {
    for (const LinearInfo& linear : LayerLinears(source.config, l)) {
      const PackedLayer layer =
          ReadPackedLayer(output.store, linear.name, linear.out_features, linear.in_features);
      at::Tensor values = at::empty({linear.out_features, linear.in_features});
      Dequantize(layer, 0, {values.data_ptr<float>(), linear.out_features, linear.in_features});
      const at::Tensor weight =
          LoadLinear(source.store, linear, DenseWeights::kFloat, kCpu).dense().to(at::kDouble);
      const at::Tensor fisher = golden_.Floats("fisher." + linear.name + ".weight").to(at::kDouble);
      const double own = (fisher * (values.to(at::kDouble) - weight).square()).sum().item<double>();
      EXPECT_EQ(report["layers"][entry]["name"], linear.name);
      EXPECT_NEAR(report["layers"][entry]["distortion"].get<double>(), own, 1e-3 * own);
      const int64_t count = linear.out_features * linear.in_features;
      EXPECT_EQ(layer.outliers.NonZeros(), count / 2000 + OutlierCount(0.0095, count));
      distortion += own;
      nonzeros += layer.outliers.NonZeros();
      ++entry;
    }
  }
  EXPECT_EQ(entry, report["layers"].size());
  EXPECT_NEAR(report["distortion"].get<double>(), distortion, 1e-3 * distortion);
  EXPECT_LT(report["distortion"].get<double>(),
            report["distortion_without_outliers"].get<double>());
  EXPECT_EQ(report["nonzeros"].get<int64_t>(), nonzeros);
}

// All that is not quantized is as it was, byte for byte.
TEST_P(QuantizeModelGolden, LeavesOtherTensorsAlone) {
  Quantize({});
  const Model source = OpenModel(golden_.folder), output = OpenModel(folder_ + "/out");
  std::set<std::string> weights, biases;
  for (int64_t layer = 0; layer < source.config.num_layers; ++layer) {
    for (const LinearInfo& linear : LayerLinears(source.config, layer)) {
      weights.insert(linear.name + ".weight");
      if (linear.bias) biases.insert(linear.name + ".bias");
    }
  }
  int copied = 0;
  for (const std::string& name : source.store.Names()) {
    const FileTensor* tensor = output.store.Find(name);
    ASSERT_EQ(tensor == nullptr, weights.count(name) == 1) << name;
    if (tensor == nullptr) continue;
    const FileTensor& before = source.store.Get(name);
    if (biases.count(name) == 1) {  // fp32, with its packed layer
      EXPECT_EQ(tensor->dtype, DType::kF32);
      EXPECT_TRUE(at::equal(LoadFloats(*tensor, tensor->shape, kCpu),
                            LoadFloats(before, before.shape, kCpu)));
      continue;
    }
    EXPECT_EQ(tensor->dtype, before.dtype);
    ASSERT_EQ(tensor->bytes, before.bytes);
    EXPECT_EQ(std::memcmp(tensor->data(), before.data(), static_cast<size_t>(before.bytes)), 0);
    ++copied;
  }
  EXPECT_GE(copied, 2 * source.config.num_layers + 2);
  EXPECT_EQ(output.config.quantized_bits, 3);
}

TEST(QuantizeModelTest, RefusesAModelThatIsQuantizedAlready) {
  const std::string folder = test::ScratchFolder();
  QuantizeModelOptions options;
  options.model = test::GoldenModel("llama-mha-fp16").folder;
  options.output = folder + "/once";
  options.uniform_sensitivity = true;
  QuantizeModel(options);
  options.model = options.output;
  options.output = folder + "/twice";
  EXPECT_THAT(test::MessageOf([&] { QuantizeModel(options); }), HasSubstr("is quantized already"));
  EXPECT_THAT(test::NamesIn(folder), ::testing::ElementsAre("once"));
}

}  // namespace
}  // namespace sq
