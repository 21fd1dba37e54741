#include "sq/checkpoint/quantized_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sq/base/json.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/model_config.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::ElementsAre;

TEST(QuantizedConfig, SaysHowTheFolderWasQuantized) {
  const std::string folder = test::ScratchFolder();
  MakeFolder(folder + "/from");
  MakeFolder(folder + "/to");
  WriteFile(folder + "/from/config.json", R"({"model_type": "llama", "vocab_size": 128})");
  WriteQuantizedConfig(folder + "/from", folder + "/to", {3, 0.0005, 0.004});
  const auto config = ReadJsonFile(folder + "/to/config.json");
  EXPECT_EQ(config["model_type"], "llama");
  EXPECT_EQ(config["vocab_size"], 128);
  const auto& quantization = config["quantization_config"];
  EXPECT_EQ(quantization["quant_method"], "squeezellm");
  EXPECT_EQ(quantization["bits"], 3);
  EXPECT_EQ(quantization["sensitive_fraction"], 0.0005);
  EXPECT_EQ(quantization["outlier_fraction"], 0.004);
  EXPECT_THAT(quantization["modules_to_not_convert"], ElementsAre("lm_head"));
  const nlohmann::json wbits = {{"wbits", 3}};
  EXPECT_EQ(ReadJsonFile(folder + "/to/quant_config.json"), wbits);
}

TEST(QuantizedConfig, IsReadBackByModelConfig) {
  const std::string folder = test::ScratchFolder();
  WriteQuantizedConfig(SQ_GOLDEN_DIR "/models/llama-mha-fp16", folder, {4, 0, 0});
  EXPECT_EQ(ReadModelConfig(folder).quantized_bits, 4);
  EXPECT_EQ(ReadModelConfig(folder).hidden_size, 64);
}

TEST(QuantizedConfig, NamesASourceWithoutConfiguration) {
  const std::string folder = test::ScratchFolder();
  EXPECT_EQ(MessageOf([&] {
              WriteQuantizedConfig(folder, folder, {4, 0, 0});
            }),
            folder + "/config.json: no such file");
  WriteFile(folder + "/config.json", "[1]");
  EXPECT_EQ(MessageOf([&] {
              WriteQuantizedConfig(folder, folder, {4, 0, 0});
            }),
            folder + "/config.json: expected an object, found an array");
}

}  // namespace
}  // namespace sq
