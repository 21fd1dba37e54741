#include "sq/pipeline/calibration_samples.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sq/text/tokenizer.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"
#include "tests/support/golden_text.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::HasSubstr;
using Samples = std::vector<std::vector<int32_t>>;

// A golden model in a folder with a tokenizer beside it.
class CalibrationTest : public ::testing::Test {
 protected:
  CalibrationTest() : model_(OpenModel(test::GoldenModel("llama-mha-fp16").folder)) {
    std::filesystem::copy(test::GoldenText("gpt2"), folder_ + "/model");
    model_.folder = folder_ + "/model";
    options_.samples = 3;
    options_.sequence_length = 10;
  }

  const std::string folder_ = test::ScratchFolder();
  Model model_;
  QuantizeModelOptions options_;
};

TEST_F(CalibrationTest, TextIsCutIntoConsecutiveSamples) {
  options_.calibration = folder_ + "/text.txt";
  const std::string text(200, 'q');
  std::ofstream(options_.calibration) << text << " and some more of the text";
  const std::vector<int32_t> ids =
      LoadTokenizer(model_.folder)->Encode(text + " and some more of the text");
  const Samples samples = LoadCalibration(model_, options_);
  ASSERT_EQ(samples.size(), std::min<size_t>(3, ids.size() / 10));
  for (size_t s = 0; s < samples.size(); ++s) {
    EXPECT_EQ(samples[s], std::vector<int32_t>(ids.begin() + s * 10, ids.begin() + (s + 1) * 10));
  }
}

TEST_F(CalibrationTest, TokenListsAreTakenAsTheyStand) {
  options_.calibration = folder_ + "/ids.json";
  const Samples lists = {{1, 2, 3}, {4, 5}, {6, 7, 8, 9}, {1, 1}};
  std::ofstream(options_.calibration) << nlohmann::json(lists);
  EXPECT_EQ(LoadCalibration(model_, options_), lists);
}

TEST_F(CalibrationTest, TheModelSamplesItselfWithoutATokenizer) {
  model_.folder = test::GoldenModel("llama-mha-fp16").folder;
  options_.calibration = "self";
  const Samples samples = LoadCalibration(model_, options_);
  ASSERT_EQ(samples.size(), 3u);
  for (const auto& sample : samples) EXPECT_EQ(sample.size(), 10u);
}

TEST_F(CalibrationTest, AMissingSourceIsNamed) {
  options_.calibration = folder_ + "/none.jsonl";
  EXPECT_THAT(test::MessageOf([&] { LoadCalibration(model_, options_); }),
              HasSubstr(folder_ + "/none.jsonl"));
  options_.calibration = "c4";
  options_.data_dir = folder_;
  EXPECT_THAT(test::MessageOf([&] { LoadCalibration(model_, options_); }), HasSubstr("c4"));
}

}  // namespace
}  // namespace sq
