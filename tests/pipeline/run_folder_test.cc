#include "sq/pipeline/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

const std::vector<float> kValues = {1, -2};
const TensorView kTensor{"w", DType::kF32, {2}, kValues.data(), 8};

class RunFolderTest : public ::testing::Test {
 protected:
  std::string OpenMessage(const Json& request, bool resume) const {
    return MessageOf([&] { RunFolder run(path_, request, resume); });
  }
  // A run that has one layer done and so is kept.
  void BeginRun(const Json& request) const {
    const RunFolder run(path_, request, false);
    run.WriteLayer(0, {kTensor}, Json::array());
  }

  const Json request_ = {{"model", "m"}, {"bits", 4}, {"outlier_fraction", 0.0045}, {"seed", 0}};
  const std::string folder_ = test::ScratchFolder();
  const std::string path_ = folder_ + "/run";
};

TEST_F(RunFolderTest, GoesOnWithTheSameRequestOnly) {
  BeginRun(request_);
  EXPECT_TRUE(RunFolder::IsRun(path_));
  EXPECT_THAT(OpenMessage(request_, false), StartsWith(path_ + ": holds an interrupted run"));
  EXPECT_EQ(OpenMessage(request_, true), "");
  Json other = request_;
  other["bits"] = 3;
  EXPECT_EQ(OpenMessage(other, true),
            path_ +
                "/run.json: the interrupted run was made with bits 4, now it is 3; remove the " +
                "folder to start anew");
  other = request_;
  other["more"] = "x";
  EXPECT_THAT(OpenMessage(other, true), HasSubstr("was made with more null, now it is \"x\""));
  other = request_;
  other.erase("seed");
  EXPECT_THAT(OpenMessage(other, true), HasSubstr("was made with seed 0, now it is null"));
  // None of this has touched it.
  EXPECT_EQ(OpenMessage(request_, true), "");
  EXPECT_THAT(test::NamesIn(path_), ElementsAre("layer-00000.safetensors", "run.json"));
}

TEST_F(RunFolderTest, RequestsAreTheSameInAnyOrderOfKeys) {
  BeginRun({{"b", {{"y", 1}, {"x", 2}}}, {"a", 0.1}});
  EXPECT_EQ(OpenMessage({{"b", {{"y", 1}, {"x", 2}}}, {"a", 0.1}}, true), "");
  EXPECT_EQ(OpenMessage({{"a", 0.1}, {"b", {{"x", 2}, {"y", 1}}}}, true), "");
  EXPECT_THAT(OpenMessage({{"a", 0.1}, {"b", {{"x", 2}, {"y", 2}}}}, true),
              HasSubstr("was made with b "));
}

TEST_F(RunFolderTest, RefusesAFolderOfOtherThings) {
  MakeFolder(path_);
  WriteFile(path_ + "/thesis.txt", "x");
  for (const bool resume : {false, true}) {
    EXPECT_EQ(OpenMessage(request_, resume), path_ + ": is there and not the work folder of a run");
  }
  EXPECT_THAT(test::NamesIn(path_), ElementsAre("thesis.txt"));
  fs::remove_all(path_);
  WriteFile(path_, "a file");
  EXPECT_EQ(OpenMessage(request_, false), path_ + ": is there and not the work folder of a run");
}

TEST_F(RunFolderTest, TakesAnEmptyFolderAndWhatAKilledRunLeft) {
  MakeFolder(path_);
  EXPECT_EQ(OpenMessage(request_, false), "");
  WriteFile(path_ + "/run.json.a1b2c3.tmp", "{");
  EXPECT_EQ(OpenMessage(request_, false), "");
  // The folder is the user's.
  EXPECT_THAT(test::NamesIn(path_), ::testing::IsEmpty());
  BeginRun(request_);
  {
    RunFolder run(path_, request_, true);
    EXPECT_TRUE(run.Remove());
  }
  EXPECT_THAT(test::NamesIn(path_), ::testing::IsEmpty());
}

TEST_F(RunFolderTest, RemovesWhatAKilledRunHadHalfWritten) {
  BeginRun(request_);
  WriteFile(path_ + "/layer-00003.safetensors.a1b2c3.tmp", "half");
  const RunFolder run(path_, request_, true);
  EXPECT_THAT(test::NamesIn(path_), ElementsAre("layer-00000.safetensors", "lock", "run.json"));
}

TEST_F(RunFolderTest, NamesADamagedRequest) {
  BeginRun(request_);
  WriteFile(path_ + "/run.json", "{");
  EXPECT_THAT(OpenMessage(request_, true), StartsWith(path_ + "/run.json: not valid JSON"));
  WriteFile(path_ + "/run.json", "[]");
  EXPECT_THAT(OpenMessage(request_, true), StartsWith(path_ + "/run.json: "));
}

TEST_F(RunFolderTest, ARunWithoutWorkLeavesNothing) {
  { const RunFolder run(path_, request_, false); }
  EXPECT_FALSE(fs::exists(path_));
  // Samples that the model itself has made took long.
  { RunFolder(path_, request_, false).WriteSamples({{1}}); }
  EXPECT_THAT(test::NamesIn(path_), ElementsAre("run.json", "samples.json"));
}

TEST_F(RunFolderTest, KeepsLayersWithTheirStatistics) {
  const RunFolder run(path_, request_, false);
  EXPECT_FALSE(run.HasLayer(12));
  const Json statistics = {{{"name", "q"}, {"distortion", 0.1}}, {{"name", "k"}}};
  run.WriteLayer(12, {kTensor}, statistics);
  EXPECT_TRUE(run.HasLayer(12));
  EXPECT_FALSE(run.HasLayer(11));
  EXPECT_EQ(run.LayerPath(12), path_ + "/layer-00012.safetensors");
  EXPECT_THAT(ReadFloats(OpenSafetensors(run.LayerPath(12)).tensors.at(0)), ElementsAre(1, -2));
  EXPECT_EQ(nlohmann::json(run.LayerStatistics(12)), nlohmann::json(statistics));
  EXPECT_EQ(run.LayerStatistics(12)[0]["distortion"].get<double>(), 0.1);
}

TEST_F(RunFolderTest, NamesALayerWithoutStatistics) {
  const RunFolder run(path_, request_, false);
  WriteSafetensors(run.LayerPath(0), {kTensor}, {});
  EXPECT_EQ(MessageOf([&] { run.LayerStatistics(0); }), run.LayerPath(0) + ": no statistics");
  WriteSafetensors(run.LayerPath(0), {kTensor}, {{"statistics", "{"}});
  EXPECT_THAT(MessageOf([&] { run.LayerStatistics(0); }),
              StartsWith(run.LayerPath(0) + ": not valid JSON"));
}

TEST_F(RunFolderTest, KeepsSensitivities) {
  const RunFolder run(path_, request_, false);
  EXPECT_FALSE(run.HasSensitivity(3));
  run.WriteSensitivity(3, {kTensor});
  EXPECT_TRUE(run.HasSensitivity(3));
  EXPECT_EQ(run.SensitivityPath(3), path_ + "/sensitivity-00003.safetensors");
  EXPECT_THAT(ReadFloats(OpenSafetensors(run.SensitivityPath(3)).tensors.at(0)),
              ElementsAre(1, -2));
}

TEST_F(RunFolderTest, KeepsSamples) {
  const RunFolder run(path_, request_, false);
  EXPECT_FALSE(run.ReadSamples().has_value());
  const RunFolder::Samples samples = {{1, 2, 3}, {2147483647}};
  run.WriteSamples(samples);
  EXPECT_EQ(run.ReadSamples(), samples);
}

TEST_F(RunFolderTest, KeepsTheLastGradientAndTheLoss) {
  const RunFolder run(path_, request_, false);
  EXPECT_FALSE(run.ReadGradient().has_value());
  run.WriteGradient(7, 2.5, kTensor);
  run.WriteGradient(6, 0.1, kTensor);
  EXPECT_EQ(run.ReadGradient()->layer, 6);
  EXPECT_EQ(run.ReadGradient()->loss, 0.1);
  EXPECT_THAT(ReadFloats(run.ReadGradient()->tensor), ElementsAre(1, -2));
}

TEST_F(RunFolderTest, NamesADamagedGradient) {
  const RunFolder run(path_, request_, false);
  const std::string file = path_ + "/gradient.safetensors";
  const auto message = [&](const Metadata& metadata, const std::vector<TensorView>& tensors) {
    WriteSafetensors(file, tensors, metadata);
    return MessageOf([&] { run.ReadGradient(); });
  };
  EXPECT_EQ(message({}, {kTensor}), file + ": no layer number or no loss");
  EXPECT_EQ(message({{"layer", "1"}}, {kTensor}), file + ": no layer number or no loss");
  EXPECT_EQ(message({{"layer", "-1"}, {"loss", "2"}}, {kTensor}), file + ": layer -1");
  for (const std::string number : {"", "x", "3x", "99999999999999999999"}) {
    const std::string expected = file + ": expected a number, found \"" + number + "\"";
    EXPECT_EQ(message({{"layer", number}, {"loss", "2"}}, {kTensor}), expected);
  }
  EXPECT_EQ(message({{"layer", "1"}, {"loss", "2,5"}}, {kTensor}),
            file + ": expected a number, found \"2,5\"");
  EXPECT_EQ(message({{"layer", "1"}, {"loss", "2"}}, {}), file + ": expected one tensor, found 0");
}

TEST_F(RunFolderTest, TwoAtATimeAreKeptApart) {
  BeginRun(request_);
  const RunFolder run(path_, request_, true);
  for (const bool resume : {true, false}) {
    EXPECT_THAT(OpenMessage(request_, resume),
                StartsWith(path_ + " is in use: pipeline_tests is running there (pid "));
  }
}

TEST_F(RunFolderTest, RemovesAllOfItself) {
  BeginRun(request_);
  {
    RunFolder run(path_, request_, true);
    run.WriteSamples({{1}});
    WriteFile(path_ + "/spilled", "x");
    EXPECT_TRUE(run.Remove());
  }
  EXPECT_FALSE(fs::exists(path_));
  EXPECT_FALSE(RunFolder::IsRun(path_));
}

}  // namespace
}  // namespace sq
