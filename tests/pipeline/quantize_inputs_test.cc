#include "sq/pipeline/quantize_inputs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/safetensors.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class QuantizeInputsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::copy(golden_.folder, model_);
    options_.model = model_;
    options_.calibration = folder_ + "/ids.json";
    options_.dtype = "float32";
    WriteFile(options_.calibration, "[[1, 2, 3], [4, 5]]");
  }
  nlohmann::json Request() const { return PrepareInputs(options_).request; }
  std::string Message() const {
    return MessageOf([&] { PrepareInputs(options_); });
  }
  // The name of the only member in which the request differs from `before`.
  std::string Difference(const nlohmann::json& before) const {
    std::string names;
    const nlohmann::json request = Request();
    for (const auto& [key, value] : request.items()) {
      if (before.value(key, nlohmann::json()) != value) names += (names.empty() ? "" : ", ") + key;
    }
    return names;
  }

  const test::GoldenModel golden_{"llama-mha-fp16"};
  const std::string folder_ = test::ScratchFolder();
  const std::string model_ = folder_ + "/model";
  QuantizeModelOptions options_;
};

TEST_F(QuantizeInputsTest, TheRequestIsOfContents) {
  const nlohmann::json before = Request();
  EXPECT_EQ(before["calibration"].get<std::string>().find("2 samples of 5 tokens, checksum "), 0u);
  fs::rename(model_, folder_ + "/moved");
  fs::rename(options_.calibration, folder_ + "/moved.json");
  options_.model = folder_ + "/moved";
  options_.calibration = folder_ + "/moved.json";
  EXPECT_EQ(Request(), before);
  WriteFile(options_.calibration, "[[1, 2, 3, 4], [5]]");
  EXPECT_EQ(Difference(before), "calibration");
  WriteFile(options_.calibration, "[[1, 2, 3], [4, 5]]");
  EXPECT_EQ(Difference(before), "");
  options_.seed = 1;
  EXPECT_EQ(Difference(before), "seed");
  options_.seed = 0;
  std::fstream weights(options_.model + "/model.safetensors",
                       std::ios::in | std::ios::out | std::ios::binary);
  weights.seekp(-1, std::ios::end);
  weights.put('\x77');
  weights.close();
  EXPECT_EQ(Difference(before), "model");
}

TEST_F(QuantizeInputsTest, SamplesOfTheModelItselfAreNotMadeYet) {
  options_.calibration = "self";
  const QuantizeInputs inputs = PrepareInputs(options_);
  EXPECT_FALSE(inputs.samples.has_value());
  EXPECT_EQ(inputs.request["calibration"], "self");
}

TEST_F(QuantizeInputsTest, SensitivitiesAreCheckedWhole) {
  options_.sensitivity = folder_ + "/fisher";
  MakeFolder(options_.sensitivity);
  const Model model = OpenModel(model_);
  const auto write = [&](const std::string& wrong, DType dtype, const Shape& shape) {
    std::vector<std::vector<char>> data;
    std::vector<TensorView> tensors;
    for (int64_t layer = 0; layer < model.config.num_layers; ++layer) {
      for (const LinearInfo& linear : LayerLinears(model.config, layer)) {
        TensorView tensor{
            linear.name + ".weight", DType::kF32, {linear.out_features, linear.in_features}};
        if (tensor.name == wrong) {
          tensor.dtype = dtype;
          tensor.shape = shape;
        }
        tensor.bytes = ElementCount(tensor.shape, "") * DTypeBytes(tensor.dtype);
        data.emplace_back(static_cast<size_t>(tensor.bytes));
        tensors.push_back(tensor);
      }
    }
    for (size_t i = 0; i < tensors.size(); ++i) tensors[i].data = data[i].data();
    WriteSafetensors(options_.sensitivity + "/model.safetensors", tensors, {});
  };
  const LinearInfo last = LayerLinears(model.config, model.config.num_layers - 1).back();
  const std::string name = last.name + ".weight";
  write("", DType::kF32, {});
  EXPECT_EQ(Message(), "");
  write(name, DType::kF32, {last.in_features, last.out_features + 1});
  EXPECT_THAT(Message(), HasSubstr("tensor " + name + " in model.safetensors: expected shape "));
  write(name, DType::kI32, {last.out_features, last.in_features});
  EXPECT_THAT(Message(), EndsWith(": expected type F32, F16, BF16 or F64, found I32"));
  fs::remove(options_.sensitivity + "/model.safetensors");
  EXPECT_THAT(Message(), HasSubstr(options_.sensitivity + ": no weights"));
}

TEST_F(QuantizeInputsTest, ACalibrationThatIsNotThereIsNamed) {
  options_.calibration = folder_ + "/none.txt";
  WriteFile(model_ + "/tokenizer.json",
            ReadFile(SQ_GOLDEN_DIR "/text/smollm/tokenizer.json", 1 << 24));
  EXPECT_THAT(Message(), HasSubstr(folder_ + "/none.txt: neither a file or folder"));
}

}  // namespace
}  // namespace sq
