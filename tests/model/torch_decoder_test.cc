#include "sq/model/torch_decoder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "sq/model/rope_table.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_model.h"

namespace sq {
namespace {

struct Halves {
  at::Tensor cos, sin;
  explicit Halves(const RopeTable& rope) {
    if (!rope.cos.defined()) return;
    const int64_t half = rope.cos.size(1) / 2;
    cos = rope.cos.narrow(1, 0, half).contiguous();
    sin = rope.sin.narrow(1, 0, half).contiguous();
  }
  RotaryRows Rows() const {
    if (!cos.defined()) return {};
    return {cos.const_data_ptr<float>(), sin.const_data_ptr<float>()};
  }
};

TEST(TorchDecoderTest, GreedyStepsFeedWhatTheyReturned) {
  for (const char* name : {"llama-gqa-tied-fp32", "opt-fp16"}) {
    SCOPED_TRACE(name);
    const test::GoldenModel golden(name);
    const auto model = LoadTorchModel(OpenModel(golden.folder));
    const Halves rope(MakeStepwiseRopeTable(model->model.config, 0, 12));
    const auto session = NewTorchSession(model, 1, 12, rope.Rows());
    const auto by_logits = NewTorchSession(model, 1, 12, rope.Rows());
    std::vector<int32_t> best = session->StepGreedily({{5}});
    std::vector<float> logits(static_cast<size_t>(model->model.config.vocab_size));
    by_logits->Step({{5}}, logits.data());
    for (int step = 0; step < 10; ++step) {
      const auto greatest = std::max_element(logits.begin(), logits.end());
      ASSERT_EQ(best[0], greatest - logits.begin()) << "step " << step;
      by_logits->Step({{best[0]}}, logits.data());
      best = session->StepGreedily();
    }
    EXPECT_EQ(session->length(), 11);
    session->Reset();
    EXPECT_EQ(session->length(), 0);
  }
}

TEST(TorchDecoderTest, RefusesTokensBeyondItsCapacity) {
  const auto model = LoadTorchModel(OpenModel(test::GoldenModel("llama-mha-fp16").folder));
  const Halves rope(MakeStepwiseRopeTable(model->model.config, 0, 2));
  const auto session = NewTorchSession(model, 1, 2, rope.Rows());
  EXPECT_EQ(test::MessageOf([&] {
              session->StepGreedily({{1, 2, 3}});
            }),
            "decoding of 3 tokens after 0: there is room for 2");
}

// The rows that it was made with can be replaced: other rows give other logits.
TEST(TorchDecoderTest, RotatesByTheRowsThatWereSetLast) {
  const auto model = LoadTorchModel(OpenModel(test::GoldenModel("llama-mha-fp16").folder));
  const ModelConfig& config = model->model.config;
  const Halves rope(MakeStepwiseRopeTable(config, 0, 4)),
      other(MakeStepwiseRopeTable(config, 7, 4));
  std::vector<float> a(static_cast<size_t>(config.vocab_size)), b = a, c = a;
  const auto feed = [&](DecoderSession* session, std::vector<float>* logits) {
    session->Step({{3, 4}}, logits->data());
  };
  const auto first = NewTorchSession(model, 1, 4, rope.Rows());
  feed(first.get(), &a);
  const auto changed = NewTorchSession(model, 1, 4, other.Rows());
  changed->SetRotary(0, 4, rope.Rows());
  feed(changed.get(), &b);
  EXPECT_EQ(a, b);
  const auto half = NewTorchSession(model, 1, 4, rope.Rows());
  half->SetRotary(1, 1, other.Rows());
  feed(half.get(), &c);
  EXPECT_NE(a, c);
}

}  // namespace
}  // namespace sq
