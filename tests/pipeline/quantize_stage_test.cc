#include "sq/pipeline/quantize_stage.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/checkpoint/safetensors.h"
#include "sq/model/linear.h"
#include "tests/support/golden_model.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

TEST(QuantizeStageTest, UniformBitsAreOfEveryMatrix) {
  const Model model = OpenModel(test::GoldenModel("opt-fp16").folder);
  const BitPlan plan = UniformBits(model.config, 3);
  ASSERT_EQ(static_cast<int64_t>(plan.size()), model.config.num_layers);
  EXPECT_EQ(plan[0], std::vector<int>(6, 3));
}

// A width of its own for each matrix, and the same bytes as QuantizeLayer by itself.
TEST(QuantizeStageTest, EachMatrixHasTheWidthOfThePlan) {
  const Model model = OpenModel(test::GoldenModel("qwen2-tied-bf16").folder);
  const std::string folder = test::ScratchFolder();
  RunFolder run(folder + "/work", {{"for", "a test"}}, /*resume=*/false);
  BitPlan plan = UniformBits(model.config, 4);
  plan[1] = {2, 3, 4, 2, 3, 4, 2};
  const QuantizeStage stage(model, {}, plan, run);
  const std::vector<LinearInfo> linears = LayerLinears(model.config, 1);
  LayerSensitivity sensitivity;
  at::manual_seed(3);
  for (const LinearInfo& linear : linears) {
    sensitivity.push_back(at::rand({linear.out_features, linear.in_features}));
  }
  stage.Run(1, sensitivity);
  EXPECT_FALSE(run.HasLayer(0));
  const TensorStore store = TensorStore::Of("layer", OpenSafetensors(run.LayerPath(1)).tensors);
  for (size_t i = 0; i < linears.size(); ++i) {
    const LinearInfo& linear = linears[i];
    const PackedLayer found =
        ReadPackedLayer(store, linear.name, linear.out_features, linear.in_features);
    EXPECT_EQ(found.bits, plan[1][i]) << linear.name;
    const at::Tensor weight = LoadFloats(model.store.Get(linear.WeightName()),
                                         {linear.out_features, linear.in_features}, kCpu);
    QuantizeOptions options;
    options.bits = plan[1][i];
    const QuantizedLayer expected = QuantizeLayer(
        {weight.const_data_ptr<float>(), linear.out_features, linear.in_features},
        {sensitivity[i].const_data_ptr<float>(), linear.out_features, linear.in_features}, options,
        "w");
    EXPECT_EQ(found.qweight, expected.layer.qweight) << linear.name;
    EXPECT_EQ(found.lookup_table, expected.layer.lookup_table) << linear.name;
    EXPECT_EQ(found.bias.size(), linear.bias ? static_cast<size_t>(linear.out_features) : 0u);
  }
  EXPECT_EQ(run.LayerStatistics(1)[0]["bits"], 2);
}

TEST(QuantizeStageTest, TheReportHasTheSumsOfAllLayers) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  RunFolder run(test::ScratchFolder() + "/work", {{"for", "a test"}}, /*resume=*/false);
  const QuantizeStage stage(model, {}, UniformBits(model.config, 4), run);
  for (int64_t layer = 0; layer < model.config.num_layers; ++layer) stage.Run(layer, {});
  nlohmann::ordered_json report;
  ReportLayers(run, model.config.num_layers, &report);
  int64_t weights = 0;
  double distortion = 0;
  for (const auto& entry : report["layers"]) {
    weights += entry["weights"].get<int64_t>();
    distortion += entry["distortion"].get<double>();
  }
  EXPECT_EQ(report["layers"].size(), ModelLinears(model.config).size());
  EXPECT_EQ(report["weights"], weights);
  EXPECT_DOUBLE_EQ(report["distortion"].get<double>(), distortion);
  EXPECT_EQ(report["nonzeros"], 0);
}

}  // namespace
}  // namespace sq
