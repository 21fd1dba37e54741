#include "sq/model/decoder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "sq/base/error.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

class DecoderGolden : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, DecoderGolden, ::testing::ValuesIn(test::AllGoldenModels()));
class DecoderPieces : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, DecoderPieces, ::testing::ValuesIn(test::kGoldenModels));
class DecoderLengths : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, DecoderLengths, ::testing::ValuesIn(test::kLengthModels));

TEST_P(DecoderGolden, GreedyTextIsThatOfTransformers) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  EXPECT_EQ(GenerateGreedy(LoadModel(model, kCpu), golden.Ids("prompt"), 12),
            golden.Ids("continuation"));
}

TEST_P(DecoderGolden, TokenByTokenGivesTheLogitsOfTheWholeSequence) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  const std::vector<int32_t> ids = golden.Ids("tokens.2");
  const at::Tensor expected = golden.Floats("logits.2");
  // Two sequences in a batch, the second one token behind, to see that they do not mix.
  Decoder decoder(LoadModel(model, kCpu), 2, static_cast<int64_t>(ids.size()));
  for (int round = 0; round < 2; ++round) {
    for (size_t t = 0; t < ids.size(); ++t) {
      const at::Tensor logits = decoder.Step({{ids[t]}, {ids[t == 0 ? 0 : t - 1]}});
      ASSERT_LT((logits[0] - expected[t]).abs().max().item<float>(), 4e-5f) << t;
    }
    decoder.Reset();
  }
  EXPECT_EQ(decoder.length(), 0);
}

TEST_P(DecoderPieces, TextComesInPiecesOfAnySize) {
  const test::GoldenModel golden(GetParam());
  const Model model = OpenModel(golden.folder);
  const std::vector<int32_t> ids = golden.Ids("tokens.0");
  const at::Tensor expected = golden.Floats("logits.0");
  Decoder decoder(LoadModel(model, kCpu), 1, static_cast<int64_t>(ids.size()));
  for (size_t begin = 0, size = 5; begin < ids.size(); begin += size, size = size % 13 + 4) {
    const size_t end = std::min(begin + size, ids.size());
    const at::Tensor logits = decoder.Step({{ids.begin() + begin, ids.begin() + end}});
    ASSERT_LT((logits[0] - expected[end - 1]).abs().max().item<float>(), 4e-5f) << begin;
  }
}

// Each piece by the length that the text has with it, as in transformers.
TEST_P(DecoderLengths, PiecesAreRotatedByTheLengthSoFar) {
  const test::GoldenModel golden(GetParam());
  const std::vector<int32_t> ids = golden.Ids("tokens.0");
  const at::Tensor expected = golden.Floats("pieces.logits");
  const Model model = OpenModel(golden.folder);
  Decoder decoder(LoadModel(model, kCpu), 1, static_cast<int64_t>(ids.size()));
  for (int round = 0; round < 2; ++round) {
    auto begin = ids.begin();
    int64_t piece = 0;
    for (const int32_t size : golden.Ids("pieces.sizes")) {
      const at::Tensor logits = decoder.Step({{begin, begin + size}});
      EXPECT_LT((logits[0] - expected[piece]).abs().max().item<float>(), 4e-5f) << piece;
      begin += size;
      ++piece;
    }
    decoder.Reset();
  }
}

TEST(DecoderTest, StopsAfterTheEndOfSequence) {
  const test::GoldenModel golden("llama-mha-fp16");
  Model model = OpenModel(golden.folder);
  const std::vector<int32_t> whole = golden.Ids("continuation");
  model.config.eos_token_ids = {whole[3]};
  const std::vector<int32_t> stopped =
      GenerateGreedy(LoadModel(model, kCpu), golden.Ids("prompt"), 12);
  const auto end = std::find(whole.begin(), whole.end(), whole[3]) + 1;
  EXPECT_EQ(stopped, std::vector<int32_t>(whole.begin(), end));
}

TEST(DecoderTest, RefusesAnEmptyPrompt) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  EXPECT_THROW(GenerateGreedy(LoadModel(model, kCpu), {}, 3), Error);
}

}  // namespace
}  // namespace sq
