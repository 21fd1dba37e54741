#include "sq/pipeline/evaluate_model.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

TEST(EvaluateModelTest, TokensGiveTransformersLossAndLogits) {
  const test::GoldenModel golden("llama3-rope-bf16");
  const std::string folder = test::ScratchFolder();
  EvaluateModelOptions options;
  options.model = golden.folder;
  options.tokens = folder + "/tokens.json";
  options.logits = folder + "/logits.safetensors";
  std::ofstream(options.tokens) << nlohmann::json(golden.Sequences());
  const Json report = EvaluateModel(options);
  ASSERT_EQ(report["results"].size(), 1u);
  const double nll = golden.Floats("losses").mean().item<double>();
  EXPECT_NEAR(report["results"][0]["nll"].get<double>(), nll, 1e-5);
  EXPECT_EQ(report["results"][0]["windows"], 3);
  EXPECT_EQ(report["results"][0]["tokens"], 48 + 31 + 16);
  EXPECT_TRUE(report["bits"].is_null());
  EXPECT_EQ(report["sparsity"], 0.0);
  const TensorStore logits = TensorStore::Open(options.logits);
  const at::Tensor second = LoadFloats(logits.Get("logits.1"), logits.Get("logits.1").shape, kCpu);
  EXPECT_LT((second - golden.Floats("logits.1")).abs().max().item<float>(), 4e-5f);
}

Json Report(double perplexity, int windows) {
  return {{"results",
           {{{"dataset", "wikitext2"},
             {"windows", windows},
             {"sequence_length", 2048},
             {"perplexity", perplexity}}}}};
}

TEST(EvaluateModelTest, TheGateComparesLikeWithLike) {
  const std::string baseline = test::ScratchFolder() + "/baseline.json";
  std::ofstream(baseline) << Report(10.0, 8);
  const auto compare = [&](const nlohmann::ordered_json& report, double percent) {
    return CompareWithBaseline(report, ReadBaseline(baseline), baseline, percent);
  };
  EXPECT_EQ(compare(Report(10.09, 8), 1), "");
  EXPECT_EQ(compare(Report(9.0, 8), 0), "");
  EXPECT_THAT(compare(Report(10.2, 8), 1),
              HasSubstr("wikitext2: perplexity 10.2000 is 2.00 % above the baseline's 10.0000"));
  EXPECT_THAT(test::MessageOf([&] { compare(Report(10, 9), 1); }), HasSubstr("nothing to compare"));
  std::ofstream(baseline) << "[1, 2]";
  EXPECT_THAT(test::MessageOf([&] { ReadBaseline(baseline); }),
              HasSubstr("not a report of sq-eval"));
}

TEST(EvaluateModelTest, NothingAskedForIsAnError) {
  EvaluateModelOptions options;
  options.model = test::GoldenModel("llama-mha-fp16").folder;
  EXPECT_THAT(test::MessageOf([&] { EvaluateModel(options); }), HasSubstr("nothing to evaluate"));
}

}  // namespace
}  // namespace sq
