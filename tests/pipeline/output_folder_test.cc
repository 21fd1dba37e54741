#include "sq/pipeline/output_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/file.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/model/transformer.h"
#include "tests/support/error_message.h"
#include "tests/support/random_layer.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using test::NamesIn;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

class OutputFolderTest : public ::testing::Test {
 protected:
  const std::string folder_ = test::ScratchFolder();
  const std::string path_ = folder_ + "/out";
};

TEST_F(OutputFolderTest, HasItsNameOnlyWhenCommitted) {
  OutputFolder output(path_);
  EXPECT_EQ(output.temporary(), path_ + ".tmp");
  WriteFile(output.temporary() + "/a", "x");
  EXPECT_THAT(NamesIn(folder_), ElementsAre("out.tmp"));
  output.Commit();
  EXPECT_THAT(NamesIn(folder_), ElementsAre("out"));
  EXPECT_THAT(NamesIn(path_), ElementsAre("a"));
}

TEST_F(OutputFolderTest, LeavesNothingBehindUnlessCommitted) {
  {
    OutputFolder output(path_);
    WriteFile(output.temporary() + "/a", "x");
  }
  EXPECT_THAT(NamesIn(folder_), IsEmpty());
}

TEST_F(OutputFolderTest, ClearsWhatAKilledRunLeft) {
  MakeFolder(path_ + ".tmp/deep");
  WriteFile(path_ + ".tmp/deep/old", "x");
  OutputFolder output(path_);
  EXPECT_THAT(NamesIn(output.temporary()), IsEmpty());
}

TEST_F(OutputFolderTest, TakesAnEmptyFolderASlashAndMissingParents) {
  MakeFolder(path_);
  { OutputFolder(path_).Commit(); }
  EXPECT_THAT(NamesIn(folder_), ElementsAre("out"));
  { OutputFolder(path_ + "//").Commit(); }
  EXPECT_THAT(NamesIn(folder_), ElementsAre("out"));
  { OutputFolder(folder_ + "/a/b/c/").Commit(); }
  EXPECT_TRUE(fs::is_directory(folder_ + "/a/b/c"));
}

TEST_F(OutputFolderTest, OverwritesNothing) {
  MakeFolder(path_);
  WriteFile(path_ + "/precious", "x");
  const std::string refusal = path_ + ": is there already; nothing was changed";
  EXPECT_EQ(MessageOf([&] { CheckFree(path_); }), refusal);
  EXPECT_EQ(MessageOf([&] { OutputFolder output(path_); }), refusal);
  EXPECT_THAT(NamesIn(folder_), ElementsAre("out"));
  EXPECT_EQ(MessageOf([&] { CheckFree(path_ + "/precious"); }),
            path_ + "/precious: is there already; nothing was changed");
  EXPECT_EQ(MessageOf([&] { CheckFree(folder_ + "/other"); }), "");
}

// What appears while the work goes on is not overwritten either.
TEST_F(OutputFolderTest, CommitRefusesAFolderThatHasFilled) {
  {
    OutputFolder output(path_);
    MakeFolder(path_);
    WriteFile(path_ + "/precious", "x");
    EXPECT_EQ(MessageOf([&] { output.Commit(); }),
              path_ + ": cannot rename " + path_ + ".tmp: Directory not empty");
  }
  EXPECT_THAT(NamesIn(folder_), ElementsAre("out"));
  EXPECT_THAT(NamesIn(path_), ElementsAre("precious"));
}

TEST_F(OutputFolderTest, SlashesAtTheEndNameTheSameFolder) {
  EXPECT_EQ(WithoutTrailingSlash("out"), "out");
  EXPECT_EQ(WithoutTrailingSlash("a/out//"), "a/out");
  EXPECT_EQ(WithoutTrailingSlash("/"), "/");
  EXPECT_EQ(WithoutTrailingSlash(""), "");
}

TEST_F(OutputFolderTest, AssemblesAModelThatOpens) {
  const Model source = OpenModel(SQ_GOLDEN_DIR "/models/llama-gqa-tied-fp32");
  const RunFolder run(folder_ + "/run", {{"bits", 3}}, false);
  std::map<std::string, PackedLayer> layers;
  for (int64_t layer = 0; layer < source.config.num_layers; ++layer) {
    std::vector<TensorView> tensors;
    for (const LinearInfo& linear : LayerLinears(source.config, layer)) {
      PackedLayer& packed = layers[linear.name];
      packed = test::MakeRandomLayer(3, linear.out_features, linear.in_features, 1, 1).layer;
      for (const TensorView& tensor : PackedTensors(packed, linear.name)) tensors.push_back(tensor);
    }
    run.WriteLayer(layer, tensors, nlohmann::ordered_json::array());
  }
  MakeFolder(path_);
  const int64_t bytes = AssembleQuantized(source, run, {3, 0.0005, 0.004}, path_);

  const Model model = OpenModel(path_);
  EXPECT_EQ(model.config.quantized_bits, 3);
  EXPECT_EQ(model.config.hidden_size, source.config.hidden_size);
  EXPECT_EQ(model.store.TotalBytes(), bytes);
  for (int64_t layer = 0; layer < source.config.num_layers; ++layer) {
    for (const LinearInfo& linear : LayerLinears(source.config, layer)) {
      EXPECT_EQ(model.store.Find(linear.name + ".weight"), nullptr);
      const PackedLayer read =
          ReadPackedLayer(model.store, linear.name, linear.out_features, linear.in_features);
      EXPECT_EQ(read.qweight, layers[linear.name].qweight) << linear.name;
      EXPECT_EQ(read.outliers.vals, layers[linear.name].outliers.vals) << linear.name;
    }
  }
  int copied = 0;
  for (const std::string& name : source.store.Names()) {
    const FileTensor* tensor = model.store.Find(name);
    if (tensor == nullptr) continue;
    const FileTensor& original = source.store.Get(name);
    ASSERT_EQ(tensor->bytes, original.bytes) << name;
    EXPECT_EQ(std::memcmp(tensor->data(), original.data(), static_cast<size_t>(tensor->bytes)), 0);
    ++copied;
  }
  EXPECT_EQ(copied, 1 + 2 * source.config.num_layers + 1);  // embedding, norms, final norm
  EXPECT_TRUE(fs::exists(path_ + "/generation_config.json"));
}

TEST_F(OutputFolderTest, NamesALayerThatTheRunLacks) {
  const Model source = OpenModel(SQ_GOLDEN_DIR "/models/llama-mha-fp16");
  const RunFolder run(folder_ + "/run", {{"bits", 3}}, false);
  MakeFolder(path_);
  EXPECT_EQ(MessageOf([&] {
              AssembleQuantized(source, run, {3, 0, 0}, path_);
            }),
            run.LayerPath(0) + ": cannot open: No such file or directory");
}

TEST_F(OutputFolderTest, AssemblesSensitivitiesAndLeavesThemToTheRun) {
  const std::vector<float> values = {1, 2, 3};
  const RunFolder run(folder_ + "/run", {{"bits", 3}}, false);
  for (int64_t layer = 0; layer < 3; ++layer) {
    run.WriteSensitivity(
        layer, {{StrCat("layers.", layer, ".q.weight"), DType::kF32, {3}, values.data(), 12},
                {StrCat("layers.", layer, ".k.weight"), DType::kF32, {1}, values.data(), 4}});
  }
  MakeFolder(path_);
  AssembleSensitivity(run, 3, path_);
  EXPECT_THAT(NamesIn(path_),
              ElementsAre("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                          "model-00003-of-00003.safetensors", "model.safetensors.index.json"));
  const TensorStore store = TensorStore::Open(path_);
  EXPECT_EQ(store.Names().size(), 6u);
  EXPECT_EQ(ReadFloats(store.Get("layers.2.q.weight")), values);
  EXPECT_EQ(store.TotalBytes(), 48);
  for (int64_t layer = 0; layer < 3; ++layer) EXPECT_TRUE(run.HasSensitivity(layer));
}

}  // namespace
}  // namespace sq
