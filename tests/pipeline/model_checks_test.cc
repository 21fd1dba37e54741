#include "sq/pipeline/model_checks.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "sq/base/parallel.h"
#include "tests/support/changed_model.h"
#include "tests/support/error_message.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::ChangedModel;
using test::MessageOf;
using ::testing::HasSubstr;

constexpr char kQuery[] = "model.layers.0.self_attn.q_proj.weight";

class ModelChecksTest : public ::testing::Test {
 protected:
  const std::string folder_ = test::ScratchFolder();
};

TEST_F(ModelChecksTest, TellsEachWarningOnce) {
  Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  model.warnings = {"one thing", "another"};
  testing::internal::CaptureStderr();
  LogWarnings(model);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("one thing"));
  EXPECT_THAT(log, HasSubstr("another"));
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2);
}

TEST_F(ModelChecksTest, FindsAValueThatIsNotFiniteInAnyTensor) {
  for (const int threads : {1, 3}) {
    SetThreadCount(threads);
    ChangedModel changed("llama-gqa-tied-fp32");
    EXPECT_EQ(MessageOf([&] { CheckValues(TensorStore::Open(changed.Write(folder_))); }), "");
    for (const char* name : {kQuery, "model.norm.weight", "model.embed_tokens.weight"}) {
      ChangedModel spoilt = changed;
      const TensorStore store = TensorStore::Open(changed.Write(folder_ + "/whole"));
      std::vector<float> values = ReadFloats(store.Get(name));
      values[7] = std::numeric_limits<float>::quiet_NaN();
      spoilt.Set(name, DType::kF32, store.Get(name).shape, values);
      EXPECT_THAT(MessageOf([&] { CheckValues(TensorStore::Open(spoilt.Write(folder_))); }),
                  HasSubstr(std::string("tensor ") + name + ": element 7 of shape "));
    }
  }
  SetThreadCount(0);
}

TEST_F(ModelChecksTest, SensitivitiesAreThoseOfTheModelsLayers) {
  const Model model = OpenModel(test::GoldenModel("llama-gqa-tied-fp32").folder);
  // The weights themselves have the names and shapes.
  ChangedModel changed("llama-gqa-tied-fp32");
  EXPECT_EQ(MessageOf([&] { CheckSensitivity(model, TensorStore::Open(changed.Write(folder_))); }),
            "");
  changed.tensors[kQuery].shape = {16, 64};
  changed.tensors.erase("model.layers.2.mlp.down_proj.weight");
  EXPECT_EQ(MessageOf([&] { CheckSensitivity(model, TensorStore::Open(changed.Write(folder_))); }),
            folder_ + ": tensor " + kQuery +
                " in model.safetensors: expected shape [32, 32], found [16, 64]; tensor "
                "model.layers.2.mlp.down_proj.weight is missing");
}

TEST_F(ModelChecksTest, OnlyWhatIsNotPackedInMultiplesOf32IsQuantizable) {
  Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  CheckQuantizable(model);
  model.config.hidden_size = 48;
  EXPECT_EQ(
      MessageOf([&] { CheckQuantizable(model); }),
      model.folder + ": tensor " + kQuery + ": expected a multiple of 32 input features, found 48");
}

}  // namespace
}  // namespace sq
