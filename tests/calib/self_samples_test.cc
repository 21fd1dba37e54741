#include "sq/calib/self_samples.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/model/decoder.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

using Samples = std::vector<std::vector<int32_t>>;

// Calls `visit` with the log-probabilities of each next token and the token that came.
void ForEachNextToken(const Model& model, const Samples& samples,
                      const std::function<void(const at::Tensor&, int32_t)>& visit) {
  const auto loaded = LoadModel(model, kCpu);
  for (const auto& sample : samples) {
    Decoder decoder(loaded, 1, static_cast<int64_t>(sample.size()));
    for (size_t t = 0; t + 1 < sample.size(); ++t) {
      const at::Tensor logits = decoder.Step({{sample[t]}})[0].to(at::kDouble);
      visit(at::log_softmax(logits, 0), sample[t + 1]);
    }
  }
}

TEST(SelfSamples, AreOfTheLengthAskedForAndBeginWithThePrefix) {
  const Model model = OpenModel(test::GoldenModel("llama-gqa-tied-fp32").folder);
  const Samples samples = SampleFromModel(model, {7, 9}, 11, 20, 0, {}, kCpu);
  ASSERT_EQ(samples.size(), 11u);
  std::set<int32_t> firsts;
  for (const auto& sample : samples) {
    ASSERT_EQ(sample.size(), 20u);
    EXPECT_EQ(sample[0], 7);
    EXPECT_EQ(sample[1], 9);
    firsts.insert(sample[2]);
    for (const int32_t id : sample) {
      EXPECT_GE(id, 0);
      EXPECT_LT(id, model.config.vocab_size);
    }
  }
  EXPECT_GT(firsts.size(), 5u);
}

TEST(SelfSamples, DependOnTheSeedAndNotOnThreads) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  SetThreadCount(1);
  const Samples one = SampleFromModel(model, {}, 39, 12, 5, {}, kCpu);
  SetThreadCount(3);
  EXPECT_EQ(SampleFromModel(model, {}, 39, 12, 5, {}, kCpu), one);
  SetThreadCount(0);
  EXPECT_NE(SampleFromModel(model, {}, 39, 12, 6, {}, kCpu), one);
}

// At temperature 1 the surprise of a drawn token is on average the entropy of its distribution.
TEST(SelfSamples, AreDrawnFromTheModelsDistribution) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  const Samples samples = SampleFromModel(model, {}, 60, 24, 1, {}, kCpu);
  double sum = 0, squares = 0;
  int count = 0;
  ForEachNextToken(model, samples, [&](const at::Tensor& log_probabilities, int32_t drawn) {
    const double entropy = -(log_probabilities.exp() * log_probabilities).sum().item<double>();
    const double difference = -log_probabilities[drawn].item<double>() - entropy;
    sum += difference;
    squares += difference * difference;
    ++count;
  });
  const double mean = sum / count, deviation = std::sqrt(squares / count - mean * mean);
  EXPECT_EQ(count, 60 * 23);
  EXPECT_GT(deviation, 0.1);  // or the distributions would be too flat to tell
  EXPECT_LT(std::abs(mean), 4 * deviation / std::sqrt(count));
}

TEST(SelfSamples, RefusesLengthsWithoutRoom) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  EXPECT_THROW(SampleFromModel(model, {1, 2}, 1, 3, 0, {}, kCpu), Error);
}

}  // namespace
}  // namespace sq
