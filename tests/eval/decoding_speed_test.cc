#include "sq/eval/decoding_speed.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <numeric>

#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

class DecodingSpeedGolden : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, DecodingSpeedGolden, ::testing::ValuesIn(test::kGoldenModels));

TEST_P(DecodingSpeedGolden, LossesAreThoseOfTransformers) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  const auto loaded = LoadModel(model, kCpu);
  const at::Tensor expected = golden.Floats("losses");
  for (int64_t s = 0; s < 3; ++s) {
    const auto ids = golden.Sequences()[static_cast<size_t>(s)];
    int64_t steps = 0;
    const DecodingSpeed speed =
        MeasureDecoding(loaded, {ids}, true, [&](int64_t done) { EXPECT_EQ(done, ++steps); });
    ASSERT_EQ(speed.nll.size(), 1u);
    EXPECT_NEAR(speed.nll[0], expected[s].item<double>(), 5e-6);
    ASSERT_EQ(speed.seconds.size(), ids.size());
    EXPECT_EQ(steps, static_cast<int64_t>(ids.size()));
    for (const double seconds : speed.seconds) EXPECT_GT(seconds, 0);
  }
}

TEST(DecodingSpeedTest, SequencesOfABatchAreIndependent) {
  const test::GoldenModel golden("opt-fp16");
  const Model model = OpenModel(golden.folder);
  const auto loaded = LoadModel(model, kCpu);
  auto ids = golden.Sequences();
  for (auto& sequence : ids) sequence.resize(16);
  const DecodingSpeed together = MeasureDecoding(loaded, ids, true, {});
  ASSERT_EQ(together.nll.size(), 3u);
  EXPECT_EQ(together.seconds.size(), 16u);
  for (size_t s = 0; s < 3; ++s) {
    EXPECT_NEAR(together.nll[s], MeasureDecoding(loaded, {ids[s]}, true, {}).nll[0], 1e-5);
  }
  EXPECT_TRUE(MeasureDecoding(loaded, ids, false, {}).nll.empty());
}

TEST(DecodingSpeedTest, TooFewTokensAreRefused) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  const auto loaded = LoadModel(model, kCpu);
  EXPECT_EQ(MeasureDecoding(loaded, {{1}}, false, {}).seconds.size(), 1u);
  EXPECT_THAT(test::MessageOf([&] { MeasureDecoding(loaded, {{1}}, true, {}); }),
              HasSubstr("expected at least 2 tokens"));
}

// All tensors of these files but the embedding; the tied one is also the head. Norms and biases are
// held in fp32.
TEST(DecodingSpeedTest, WeightBytesAreThoseOfTheFile) {
  for (const auto& [name, tied] :
       {std::pair("llama-mha-fp16", false), std::pair("llama-gqa-tied-fp32", true)}) {
    const Model model = OpenModel(test::GoldenModel(name).folder);
    int64_t expected = 0;
    for (const std::string& tensor : model.store.Names()) {
      if (tensor == "model.embed_tokens.weight" && !tied) continue;
      const FileTensor& file = model.store.Get(tensor);
      const int64_t elements =
          std::accumulate(file.shape.begin(), file.shape.end(), int64_t{1}, std::multiplies<>());
      expected += file.shape.size() == 1 ? 4 * elements : file.bytes;
    }
    EXPECT_EQ(LoadModel(model, kCpu)->StepBytes(), expected) << name;
  }
}

TEST(DecodingSpeedTest, QuantilesAreOfTheNearestRank) {
  std::vector<double> values(100);
  std::iota(values.begin(), values.end(), 1.0);
  std::reverse(values.begin(), values.end());
  EXPECT_EQ(Quantile(values, 0.5), 50);
  EXPECT_EQ(Quantile(values, 0.95), 95);
  EXPECT_EQ(Quantile(values, 1), 100);
  EXPECT_EQ(Quantile({7}, 0.95), 7);
  EXPECT_EQ(Quantile({3, 1, 2}, 0.5), 2);
}

}  // namespace
}  // namespace sq
