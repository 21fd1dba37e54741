#include "sq/model/weights.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

using ::testing::HasSubstr;

TEST(WeightsTest, LearnedPositionsEnd) {
  const Model model = OpenModel(test::GoldenModel("opt-fp16").folder);
  const int64_t positions = model.config.max_positions;
  const at::Tensor last = EmbedTokens(model, {5}, positions - 1);
  EXPECT_FALSE(at::equal(last, EmbedTokens(model, {5}, 0)));
  EXPECT_THAT(test::MessageOf([&] {
                EmbedTokens(model, {5, 6}, positions - 1);
              }),
              HasSubstr("257 tokens in a sequence, but the model has positions for 256"));
}

TEST(WeightsTest, TokensOutsideTheVocabularyAreRefused) {
  const Model model = OpenModel(test::GoldenModel("llama-mha-fp16").folder);
  const std::string message = test::MessageOf([&] {
    EmbedTokens(model, {0, static_cast<int32_t>(model.config.vocab_size)});
  });
  EXPECT_THAT(message, HasSubstr("outside the vocabulary"));
}

}  // namespace
}  // namespace sq
