#include "sq/pipeline/calibrate.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "sq/base/output_file.h"
#include "tests/support/golden_model.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using Layers = std::vector<int64_t>;

class CalibrateTest : public ::testing::Test {
 protected:
  CalibrateTest() : golden_("llama-mha-fp16"), folder_(test::ScratchFolder()) {
    options_.model = golden_.folder;
    options_.output = folder_ + "/out";
    options_.calibration = folder_ + "/samples.json";
    options_.dtype = "float32";
    WriteFile(options_.calibration, nlohmann::json(golden_.Sequences()).dump());
  }

  test::GoldenModel golden_;
  std::string folder_;
  QuantizeModelOptions options_;
};

TEST_F(CalibrateTest, AFisherPassGoesFromTheLastLayerToTheFirst) {
  const QuantizeInputs inputs = PrepareInputs(options_);
  const RunFolder run(folder_ + "/work", inputs.request, /*resume=*/false);
  const ModelConfig& config = inputs.model.config;
  Layers order;
  const CalibrationReport report =
      Calibrate(inputs, options_, run, [&](int64_t layer, const LayerSensitivity& sensitivity) {
        order.push_back(layer);
        const std::vector<LinearInfo> linears = LayerLinears(config, layer);
        ASSERT_EQ(sensitivity.size(), linears.size());
        for (size_t i = 0; i < linears.size(); ++i) {
          const at::Tensor expected = golden_.Floats("fisher." + linears[i].WeightName());
          EXPECT_LT(((sensitivity[i] - expected).abs().max() / expected.max()).item<float>(),
                    1e-5f);
        }
      });
  Layers expected;
  for (int64_t layer = config.num_layers - 1; layer >= 0; --layer) expected.push_back(layer);
  EXPECT_EQ(order, expected);
  EXPECT_EQ(report.json["samples"], 3);
  EXPECT_NEAR(report.json["loss"].get<double>(), golden_.Floats("losses").mean().item<double>(),
              5e-6);
}

TEST_F(CalibrateTest, WithoutAPassLayersComeInOrderAndFinishedOnesDoNot) {
  options_.uniform_sensitivity = true;
  const QuantizeInputs inputs = PrepareInputs(options_);
  const RunFolder run(folder_ + "/work", inputs.request, /*resume=*/false);
  run.WriteLayer(0, {}, nlohmann::ordered_json::array());
  Layers order;
  const CalibrationReport report =
      Calibrate(inputs, options_, run, [&](int64_t layer, const LayerSensitivity& sensitivity) {
        order.push_back(layer);
        EXPECT_TRUE(sensitivity.empty());
      });
  Layers expected;
  for (int64_t layer = 1; layer < inputs.model.config.num_layers; ++layer)
    expected.push_back(layer);
  EXPECT_EQ(order, expected);
  EXPECT_TRUE(report.json.is_null());
}

}  // namespace
}  // namespace sq
