#include "sq/pipeline/export_vllm.h"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "sq/base/json.h"
#include "sq/checkpoint/checkpoint_writer.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/model/transformer.h"
#include "sq/pipeline/pack_model.h"
#include "sq/pipeline/quantize_model.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ExportVllmTest : public ::testing::Test {
 protected:
  std::string Quantize(int bits, double outlier_fraction) {
    QuantizeModelOptions options;
    options.model = source_;
    options.output = folder_ + "/quantized";
    options.bits = bits;
    options.outliers.outlier_fraction = outlier_fraction;
    options.uniform_sensitivity = true;
    QuantizeModel(options);
    return options.output;
  }

  // What ExportVllm says on stderr.
  std::string Export(const std::string& from) {
    ::testing::internal::CaptureStderr();
    ExportVllm(from, output_);
    return ::testing::internal::GetCapturedStderr();
  }

  const std::string folder_ = test::ScratchFolder();
  const std::string source_ = test::GoldenModel("llama-gqa-tied-fp32").folder;
  const std::string output_ = folder_ + "/vllm";
};

TEST_F(ExportVllmTest, GivesTheTensorsAsTheyAreAndTheWidthByBothNames) {
  const std::string quantized = Quantize(4, 0);
  EXPECT_EQ(Export(quantized), "");
  const TensorStore before = TensorStore::Open(quantized), after = TensorStore::Open(output_);
  ASSERT_EQ(after.Names(), before.Names());
  for (const std::string& name : before.Names()) {
    const FileTensor &a = before.Get(name), &b = after.Get(name);
    EXPECT_EQ(b.dtype, a.dtype) << name;
    ASSERT_EQ(b.shape, a.shape) << name;
    EXPECT_EQ(std::memcmp(a.data(), b.data(), static_cast<size_t>(a.bytes)), 0) << name;
  }
  nlohmann::json expected = ReadJsonFile(quantized + "/config.json");
  expected["quantization_config"]["wbits"] = 4;
  EXPECT_EQ(ReadJsonFile(output_ + "/config.json"), expected);
  EXPECT_EQ(ReadJsonFile(output_ + "/quant_config.json"), nlohmann::json({{"wbits", 4}}));
  EXPECT_EQ(Verify(output_), Verify(quantized));
}

TEST_F(ExportVllmTest, SaysWhatTheOldLoaderRefuses) {
  EXPECT_THAT(Export(Quantize(3, 0)), HasSubstr("has 3 bits; the loader of vLLM 0.2 to 0.5"));
}

TEST_F(ExportVllmTest, SaysThatTheOldLoaderTakesNoOutliers) {
  EXPECT_THAT(Export(Quantize(4, 0.01)), HasSubstr(" outliers; the loader of vLLM 0.2 to 0.5"));
}

TEST_F(ExportVllmTest, LeavesOutStartrowsAndRefusesLayersOfSeveralWidths) {
  const std::string quantized = Quantize(4, 0);
  const Model model = OpenModel(quantized);
  const LinearInfo odd = LayerLinears(model.config, 1)[0];
  PackedLayer layer;
  layer.bits = 3;
  layer.out_features = odd.out_features;
  layer.in_features = odd.in_features;
  layer.qweight.resize(static_cast<size_t>(odd.in_features / 32 * 3 * odd.out_features));
  layer.lookup_table.resize(static_cast<size_t>(odd.out_features * 8));
  const std::vector<int32_t> hint(128, -1);

  // A copy of the folder with a tensor more, and one with a layer replaced.
  const auto write = [&](const std::string& folder, const std::vector<TensorView>& others) {
    std::map<std::string, TensorView> tensors;
    for (const std::string& name : model.store.Names()) {
      const FileTensor& tensor = model.store.Get(name);
      tensors[name] = {name, tensor.dtype, tensor.shape, tensor.data(), tensor.bytes};
    }
    for (const TensorView& other : others) tensors[other.name] = other;
    std::vector<TensorView> views;
    for (const auto& [name, view] : tensors) views.push_back(view);
    std::filesystem::create_directory(folder);
    WriteCheckpoint(folder, views, [&](size_t i) { return views[i].data; });
    std::filesystem::copy(quantized + "/config.json", folder + "/config.json");
  };
  write(folder_ + "/hint", {{odd.name + ".startrows", DType::kI32, {128}, hint.data(), 128 * 4}});
  Export(folder_ + "/hint");
  EXPECT_EQ(TensorStore::Open(output_).Names(), model.store.Names());

  write(folder_ + "/mixed", PackedTensors(layer, odd.name));
  EXPECT_THAT(test::MessageOf([&] { ExportVllm(folder_ + "/mixed", folder_ + "/x"); }),
              HasSubstr("vLLM takes one width for a model"));
}

TEST_F(ExportVllmTest, WhatIsNotQuantizedIsRefusedAndNothingIsLeft) {
  EXPECT_THAT(test::MessageOf([&] { ExportVllm(source_, output_); }),
              HasSubstr("is not quantized"));
  EXPECT_THAT(test::NamesIn(folder_), ElementsAre());
}

}  // namespace
}  // namespace sq
