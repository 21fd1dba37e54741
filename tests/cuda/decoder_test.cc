// The decoder as a whole on a small random model; what it computes is compared with LibTorch in
// tests/model_cuda.
#include <gtest/gtest.h>

#include <cmath>

#include "sq/base/half.h"
#include "sq/kernels/cuda_decoder.h"
#include "sq/kernels/cuda_device.h"
#include "tests/support/cuda_memory.h"
#include "tests/support/error_message.h"
#include "tests/support/host_model.h"

namespace sq {
namespace {

using test::Fuser;
using test::HostModel;
using test::kCapacity;
using test::kHeadDim;
using test::kHeads;
using test::kHidden;
using test::kIntermediate;
using test::kKvHeads;
using test::kVocab;
using test::MessageOf;

std::vector<std::vector<int32_t>> Prompt(int64_t tokens) {
  std::vector<std::vector<int32_t>> ids(2);
  for (int64_t t = 0; t < tokens; ++t) {
    ids[0].push_back(static_cast<int32_t>(t * 7 % kVocab));
    ids[1].push_back(static_cast<int32_t>(t * t % kVocab));
  }
  return ids;
}

TEST(CudaDecoderTest, AReplayedGraphGivesWhatLaunchesGive) {
  const HostModel host;
  const auto model = host.Upload();
  CudaDecoder captured(model, 2, kCapacity, host.Rotary()),
      launched(model, 2, kCapacity, host.Rotary(), /*graphs=*/false);
  std::vector<float> a(2 * kVocab), b(2 * kVocab);
  // Until after a prompt, for which buffers grow and the graph is captured anew.
  const auto step = [&](const std::vector<std::vector<int32_t>>& ids) {
    captured.Step(ids, a.data());
    launched.Step(ids, b.data());
    ASSERT_EQ(a, b) << "after " << captured.length() << " tokens";
    EXPECT_EQ(captured.Best(), launched.Best());
  };
  for (int round = 0; round < 2; ++round) {
    for (int32_t t = 0; t < 3; ++t) step({{t}, {t + 5}});
    step(Prompt(140));  // so long that attention is split
    for (int32_t t = 0; t < 3; ++t) step({{t}, {t + 5}});
    captured.StepBest();
    launched.StepBest();
    EXPECT_EQ(captured.Best(), launched.Best());
    EXPECT_EQ(captured.length(), 147);
    captured.Reset();
    launched.Reset();
  }
}

// 300 tokens of 2 sequences are two chunks. Bound: the rounding of activations to fp16 falls
// differently where sums are in another order; 2^-11 of logits of N(0, 1) in each of some hundred
// inputs.
TEST(CudaDecoderTest, APromptGivesWhatItsTokensGiveOneByOne) {
  const HostModel host;
  const auto model = host.Upload();
  CudaDecoder whole(model, 2, kCapacity, host.Rotary()),
      by_token(model, 2, kCapacity, host.Rotary());
  const auto ids = Prompt(300);
  std::vector<float> a(2 * kVocab), b(2 * kVocab);
  whole.Step(ids, a.data());
  for (size_t t = 0; t < ids[0].size(); ++t) {
    const bool last = t + 1 == ids[0].size();
    by_token.Step({{ids[0][t]}, {ids[1][t]}}, last ? b.data() : nullptr);
  }
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_NEAR(a[i], b[i], 0.02);
    most = std::max<double>(most, std::fabs(a[i]));
  }
  EXPECT_GT(most, 1);
  for (size_t s = 0; s < 2; ++s) {
    const auto row = a.begin() + static_cast<int64_t>(s) * kVocab;
    EXPECT_EQ(whole.Best()[s], std::max_element(row, row + kVocab) - row);
  }
}

// Steps that nobody waits for between: kernels of one begin while those of the one before it run.
TEST(CudaDecoderTest, StepsInARowGiveWhatStepsOneByOneGive) {
  HostModel host;
  host.PackAll();
  const auto model = host.Upload();
  CudaDecoder row(model, 1, kCapacity, host.Rotary()), each(model, 1, kCapacity, host.Rotary());
  for (const int steps : {1, 5, 9}) {
    row.Step({{steps}}, nullptr);
    each.Step({{steps}}, nullptr);
    for (int i = 0; i < steps; ++i) row.StepBest();
    for (int i = 0; i < steps; ++i) each.Step({each.Best()}, nullptr);
    EXPECT_EQ(row.Best(), each.Best());
    EXPECT_EQ(row.length(), each.length());
  }
  std::vector<float> a(kVocab), b(kVocab);
  row.Step({{3}}, a.data());
  each.Step({{3}}, b.data());
  EXPECT_EQ(a, b);
}

// A sequence alone, whose products pass norms on, and one of two, whose norms are kernels. Bound:
// as above.
TEST(CudaDecoderTest, NormsThatProductsPassOnAreNorms) {
  HostModel host;
  host.PackAll();
  const auto model = host.Upload();
  CudaDecoder alone(model, 1, kCapacity, host.Rotary()), two(model, 2, kCapacity, host.Rotary());
  std::vector<float> a(kVocab), b(2 * kVocab);
  for (int32_t t = 0; t < 6; ++t) {
    alone.Step({{t * 7}}, a.data());
    two.Step({{t * 7}, {t}}, b.data());
    float most = 0;
    for (size_t i = 0; i < kVocab; ++i) {
      EXPECT_NEAR(a[i], b[i], 0.02) << "token " << t;
      most = std::max(most, std::fabs(a[i]));
    }
    EXPECT_GT(most, 1);
    EXPECT_EQ(alone.Best()[0], two.Best()[0]);
  }
}

// Query, key and value in one tensor, and gate and up, packed or dense, give what they give apart.
TEST(CudaDecoderTest, FusedLayersGiveWhatTheirPartsGive) {
  HostModel apart;
  apart.PackAll();
  for (const size_t i : {4, 5}) {
    const LinearRole role = i == 4 ? LinearRole::kGate : LinearRole::kUp;
    apart.layers[1].linears[i] = apart.Dense(role, kIntermediate, kHidden, FloatType::kBFloat16);
  }
  HostModel fused = apart;
  Fuser fuser;
  for (DecoderLayerWeights& layer : fused.layers) {
    fuser.Fuse(&layer, 4, 2);
    fuser.Fuse(&layer, 0, 3);
    ASSERT_EQ(layer.linears.size(), 4u);
  }
  CudaDecoder a(apart.Upload(), 2, 16, apart.Rotary()), b(fused.Upload(), 2, 16, fused.Rotary());
  std::vector<float> expected(2 * kVocab), found(2 * kVocab);
  for (int32_t t = 0; t < 3; ++t) {
    a.Step({{t}, {t + 1}}, expected.data());
    b.Step({{t}, {t + 1}}, found.data());
    EXPECT_EQ(found, expected) << "token " << t;
  }
}

TEST(CudaDecoderTest, RepeatsBitForBitInAnyOrderOfThreads) {
  const HostModel host;
  const auto model = host.Upload();
  std::vector<float> first;
  for (const uint64_t seed : {0, 1, 2}) {
    test::SetScheduleSeed(seed);
    CudaDecoder decoder(model, 2, kCapacity, host.Rotary());
    std::vector<float> logits(2 * kVocab);
    decoder.Step(Prompt(30), logits.data());
    decoder.StepBest();
    decoder.Step({{1}, {2}}, logits.data());
    if (first.empty()) first = logits;
    EXPECT_EQ(logits, first) << "schedule " << seed;
    test::SetScheduleSeed(0);
  }
}

TEST(CudaDecoderTest, CountsItsMemory) {
  const HostModel host;
  const int64_t before = CudaMemoryInUse().used;
  {
    const auto model = host.Upload();
    EXPECT_EQ(CudaMemoryInUse().used - before, model->Bytes());
    // The embedding, of which a step reads a row.
    EXPECT_EQ(model->StepBytes(), model->Bytes() - 2 * kVocab * kHidden);
    const CudaDecoder decoder(model, 1, kCapacity, host.Rotary());
    const int64_t cache = 2 * 2 * 2 * kKvHeads * kCapacity * kHeadDim;
    EXPECT_GT(CudaMemoryInUse().used - before, model->Bytes() + cache);
    EXPECT_GE(CudaMemoryInUse().peak, CudaMemoryInUse().used);
  }
  EXPECT_EQ(CudaMemoryInUse().used, before);
}

TEST(CudaDecoderTest, ATiedHeadIsHeldOnce) {
  HostModel host;
  const int64_t apart = host.Upload()->Bytes();
  host.ends.head = host.ends.embedding;
  const auto tied = host.Upload();
  EXPECT_EQ(tied->Bytes(), apart - 2 * kVocab * kHidden);
  EXPECT_EQ(tied->StepBytes(), tied->Bytes());
}

// Values that fp16 does not hold make the layer's products bf16.
TEST(CudaDecoderTest, TakesWeightsBeyondFp16) {
  HostModel host;
  std::vector<float> head(kVocab * kHidden, 0);
  for (int64_t v = 0; v < kVocab; ++v) head[v * kHidden + v] = 1e6f;
  host.ends.head = {head.data(), FloatType::kFloat32, kVocab, kHidden};
  const auto model = host.Upload();
  CudaDecoder decoder(model, 1, 8, host.Rotary());
  std::vector<float> logits(kVocab);
  decoder.Step({{3}}, logits.data());
  double squares = 0;
  for (const float logit : logits) squares += std::pow(logit / 1e6, 2) / kVocab;
  EXPECT_NEAR(squares, 1, 0.7);  // of a normalized vector
}

#ifdef SQ_CUDA_EMULATED  // the emulated device's memory can be made small
TEST(CudaDecoderTest, SaysWhatMemoryIsWantedAndWhatHelps) {
  const HostModel host;
  const auto model = host.Upload();
  const size_t used = shim::DeviceMemoryUsed();
  shim::SetDeviceMemory(used + (size_t{64} << 20));
  const std::string of_cache =
      MessageOf([&] { CudaDecoder(model, 1000, kCapacity, host.Rotary()); });
  shim::SetDeviceMemory(used + 1000);
  const std::string of_weights = MessageOf([&] { host.Upload(); });
  shim::SetDeviceMemory(size_t{8} << 30);
  EXPECT_EQ(of_cache.find("CUDA: out of memory: the key-value cache wants 44800000 bytes"), 0u)
      << of_cache;
  EXPECT_NE(of_cache.find("are free; fewer sequences or fewer tokens need less"), std::string::npos)
      << of_cache;
  EXPECT_NE(of_weights.find("are free; quantized to fewer bits the model needs less"),
            std::string::npos)
      << of_weights;
}
#endif

TEST(CudaDecoderTest, RefusesSizesThatTheKernelsDoNotTake) {
  DecoderShape shape = HostModel().shape;
  shape.hidden = 68;
  EXPECT_EQ(MessageOf([&] { CudaModel{shape}; }),
            "hidden size 68: the CUDA decoder takes multiples of 8 up to 16384");
  shape = HostModel().shape;
  shape.head_dim = 264;
  EXPECT_EQ(MessageOf([&] { CudaModel{shape}; }),
            "heads of 264: the CUDA decoder takes multiples of 8 up to 256");
  HostModel host;
  host.layers[0].linears[1].packed = host.layers[0].linears[0].packed;
  host.layers[0].linears[1].parts[0].rows = kHeads * kHeadDim;
  EXPECT_EQ(
      MessageOf([&] { host.Upload(); }),
      "layer 0, query, key and value, number 2: expected a layer of [32, 64], found [64, 64]");
  HostModel without_norm;
  without_norm.layers[1].norms.erase(without_norm.layers[1].norms.begin() + 1);
  EXPECT_EQ(MessageOf([&] { without_norm.Upload(); }),
            "layer 1, expected a norm before attention and one before the MLP");
  HostModel without_value;
  without_value.layers[0].linears.erase(without_value.layers[0].linears.begin() + 2);
  EXPECT_EQ(MessageOf([&] { without_value.Upload(); }),
            "layer 0, query, key and value: has no weights");
  HostModel beyond;
  beyond.layers[0].linears[0].parts[0].rows += 1;
  EXPECT_EQ(MessageOf([&] { beyond.Upload(); }), "rows 0 to 65 of a linear layer of 64");
}

TEST(CudaDecoderTest, RefusesTokensBeyondItsCapacity) {
  const HostModel host;
  CudaDecoder decoder(host.Upload(), 1, 4, host.Rotary());
  decoder.Step({{1, 2, 3}}, nullptr);
  EXPECT_EQ(MessageOf([&] {
              decoder.Step({{4, 5}}, nullptr);
            }),
            "decoding of 2 tokens after 3: there is room for 4");
  decoder.StepBest();
  EXPECT_EQ(MessageOf([&] { decoder.StepBest(); }),
            "decoding of a token after 4: there is room for 4");
  EXPECT_EQ(decoder.length(), 4);
}

}  // namespace
}  // namespace sq
