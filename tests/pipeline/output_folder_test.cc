#include "sq/pipeline/output_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/file.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/checkpoint/packed_checkpoint.h"
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
using ::testing::MatchesRegex;
namespace fs = std::filesystem;

class OutputFolderTest : public ::testing::Test {
 protected:
  const std::string folder_ = test::ScratchFolder();
  const std::string path_ = folder_ + "/out";
};

TEST_F(OutputFolderTest, HasItsNameOnlyWhenCommitted) {
  {
    OutputFolder output(path_);
    WriteFile(output.temporary() + "/a", "x");
    EXPECT_THAT(NamesIn(folder_),
                ElementsAre(".out.squeezellm.lock", MatchesRegex("out\\.[a-z0-9]{6}\\.tmp")));
    output.Commit();
    EXPECT_THAT(NamesIn(path_), ElementsAre("a"));
  }
  EXPECT_THAT(NamesIn(folder_), ElementsAre("out"));
}

TEST_F(OutputFolderTest, LeavesNothingBehindUnlessCommitted) {
  {
    OutputFolder output(path_);
    WriteFile(output.temporary() + "/a", "x");
  }
  EXPECT_THAT(NamesIn(folder_), IsEmpty());
  MakeFolder(path_);
  {
    OutputFolder output(path_);
    WriteFile(output.temporary() + "/a", "x");
  }
  EXPECT_THAT(NamesIn(path_), IsEmpty());
}

// A folder that is there already is filled: it may be a mount point, which cannot be replaced.
TEST_F(OutputFolderTest, FillsAnEmptyFolder) {
  MakeFolder(path_ + "/lost+found");
  fs::create_symlink("out", folder_ + "/link");
  struct stat before {
  }, after{};
  ASSERT_EQ(stat(path_.c_str(), &before), 0);
  {
    OutputFolder output(folder_ + "/link/");
    for (const char* name : {"/config.json", "/model.safetensors"}) {
      WriteFile(output.temporary() + name, "x");
    }
    MakeFolder(output.temporary() + "/more");
    output.Commit();
  }
  EXPECT_THAT(NamesIn(path_),
              ElementsAre("config.json", "lost+found", "model.safetensors", "more"));
  ASSERT_EQ(stat(path_.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_TRUE(fs::is_symlink(folder_ + "/link"));
}

TEST_F(OutputFolderTest, MakesWhereALinkLeads) {
  fs::create_symlink("elsewhere", folder_ + "/link");
  { OutputFolder(folder_ + "/link").Commit(); }
  EXPECT_THAT(NamesIn(folder_), ElementsAre("elsewhere", "link"));
  EXPECT_TRUE(fs::is_symlink(folder_ + "/link"));
  EXPECT_TRUE(fs::is_directory(folder_ + "/elsewhere"));
}

// What appears while the work goes on is not overwritten.
TEST_F(OutputFolderTest, CommitRefusesAFolderThatHasFilled) {
  {
    OutputFolder output(path_);
    output.temporary();
    MakeFolder(path_);
    WriteFile(path_ + "/precious", "x");
    EXPECT_THAT(MessageOf([&] { output.Commit(); }),
                MatchesRegex(".*/out: cannot rename .*/out\\.......\\.tmp: Directory not empty"));
  }
  EXPECT_THAT(NamesIn(folder_), ElementsAre("out"));
  EXPECT_THAT(NamesIn(path_), ElementsAre("precious"));
  fs::remove(path_ + "/precious");
  {
    OutputFolder output(path_);
    WriteFile(output.temporary() + "/precious", "y");
    WriteFile(path_ + "/precious", "x");
    EXPECT_EQ(MessageOf([&] { output.Commit(); }),
              path_ + "/precious: has come to be there meanwhile; nothing was changed");
  }
  EXPECT_EQ(ReadFile(path_ + "/precious", 10), "x");
  EXPECT_THAT(NamesIn(path_), ElementsAre("precious"));
}

// A run that was killed at any point: the next one clears what it had made, and nothing else.
TEST_F(OutputFolderTest, ClearsWhatAKilledRunLeft) {
  for (const bool is_there : {false, true}) {
    if (is_there) MakeFolder(path_);
    const pid_t child = fork();
    if (child == 0) {
      OutputFolder output(path_);
      WriteFile(output.temporary() + "/model.safetensors", "x");
      std::_Exit(0);
    }
    waitpid(child, nullptr, 0);
    MakeFolder(folder_ + "/out.tmp");
    WriteFile(folder_ + "/out.tmp/mine", "x");
    EXPECT_EQ(MessageOf([&] { CheckFree(path_); }), "");
    { OutputFolder(path_).Commit(); }
    EXPECT_THAT(NamesIn(path_), IsEmpty());
    EXPECT_THAT(NamesIn(folder_), ElementsAre("out", "out.tmp"));
    EXPECT_THAT(NamesIn(folder_ + "/out.tmp"), ElementsAre("mine"));
    fs::remove_all(path_);
  }
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
