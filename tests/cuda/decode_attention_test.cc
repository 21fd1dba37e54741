// Attention against plain loops in double precision, with the threads of a block in several orders.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/decode_kernels.h"

namespace sq {
namespace {

using cuda::Buffer;
using test::CacheOnDevice;
using test::DeviceMatrix;
using test::InAnyOrder;
using test::kQueue;
using test::OnDevice;
using test::RandomValues;

struct AttentionCase {
  int64_t batch, tokens, kv_heads, group, head_dim, length, window, blocks_wanted;
};

std::string Name(const AttentionCase& c) {
  return StrCat("batch", c.batch, "_tokens", c.tokens, "_heads", c.kv_heads, "x", c.group, "_dim",
                c.head_dim, "_length", c.length, "_window", c.window, "_blocks", c.blocks_wanted);
}

// Softmax of row `query` over positions [begin, end) of the cache, times values, in double.
void ReferenceAttention(const float* query, const std::vector<float>& keys,
                        const std::vector<float>& values, int64_t head_dim, int64_t begin,
                        int64_t end, double* out) {
  std::vector<double> scores;
  double greatest = -INFINITY, sum = 0;
  for (int64_t p = begin; p < end; ++p) {
    double score = 0;
    for (int64_t d = 0; d < head_dim; ++d) score += double(query[d]) * keys[p * head_dim + d];
    scores.push_back(score / std::sqrt(double(head_dim)));
    greatest = std::max(greatest, scores.back());
  }
  for (double& score : scores) sum += score = std::exp(score - greatest);
  for (int64_t d = 0; d < head_dim; ++d) out[d] = 0;
  for (int64_t p = begin; p < end; ++p) {
    for (int64_t d = 0; d < head_dim; ++d) {
      out[d] += scores[p - begin] / sum * values[p * head_dim + d];
    }
  }
}

const std::vector<AttentionCase> kOneToken = {
    // Cache lengths before the new token, splits or none.
    AttentionCase{1, 1, 2, 1, 128, 0, 0, 1},
    AttentionCase{3, 1, 2, 1, 128, 30, 0, 64},
    AttentionCase{1, 1, 2, 1, 128, 31, 0, 64},
    AttentionCase{1, 1, 2, 1, 128, 256, 0, 1},
    AttentionCase{3, 1, 1, 1, 128, 256, 0, 64},
    AttentionCase{1, 1, 1, 1, 128, 1000, 0, 5},
    // Groups of query heads, as wide as a block's queries or not.
    AttentionCase{1, 1, 2, 2, 64, 200, 0, 64},
    AttentionCase{2, 1, 2, 3, 64, 140, 0, 64},
    AttentionCase{1, 1, 1, 8, 128, 256, 0, 64},
    AttentionCase{1, 1, 1, 13, 64, 300, 0, 64},
    // Head sizes.
    AttentionCase{1, 1, 2, 1, 8, 257, 0, 64},
    AttentionCase{1, 1, 1, 4, 16, 100, 0, 64},
    AttentionCase{1, 1, 1, 2, 80, 300, 0, 64},
    AttentionCase{1, 1, 1, 7, 96, 129, 0, 64},
    AttentionCase{1, 1, 1, 8, 256, 260, 0, 64},
    AttentionCase{2, 1, 1, 1, 248, 64, 0, 64},
    // Windows.
    AttentionCase{1, 1, 2, 2, 32, 3, 7, 64},
    AttentionCase{1, 1, 2, 2, 32, 300, 7, 64},
    AttentionCase{1, 1, 1, 1, 64, 500, 260, 64},
    AttentionCase{1, 1, 1, 1, 64, 50, 1, 64},
};
const std::vector<AttentionCase> kSeveralTokens = {
    AttentionCase{1, 5, 2, 1, 64, 0, 0, 1}, AttentionCase{2, 3, 2, 3, 32, 129, 0, 64},
    AttentionCase{1, 9, 1, 2, 128, 200, 0, 64}, AttentionCase{1, 40, 1, 1, 16, 0, 9, 64},
    AttentionCase{1, 6, 1, 1, 16, 400, 150, 64}};

class DecodeAttention : public ::testing::TestWithParam<AttentionCase> {};
class DecodeAttentionOfOneToken : public DecodeAttention {};
std::string NameOf(const ::testing::TestParamInfo<AttentionCase>& info) { return Name(info.param); }
INSTANTIATE_TEST_SUITE_P(OneToken, DecodeAttention, ::testing::ValuesIn(kOneToken), NameOf);
INSTANTIATE_TEST_SUITE_P(SeveralTokens, DecodeAttention, ::testing::ValuesIn(kSeveralTokens),
                         NameOf);
INSTANTIATE_TEST_SUITE_P(OneToken, DecodeAttentionOfOneToken, ::testing::ValuesIn(kOneToken),
                         NameOf);

// Bound: a score of N(0, 1) is off by some 1e-6, so weights by as much of themselves, and the sum
// of values of N(0, 1) by < 1e-5.
TEST_P(DecodeAttention, AgreesWithDoublePrecision) {
  const AttentionCase c = GetParam();
  const int64_t heads = c.kv_heads * c.group, rows = c.batch * c.tokens;
  const int64_t seen = c.length + c.tokens, capacity = seen + 70;
  const int64_t cols = (heads + 2 * c.kv_heads) * c.head_dim;
  const std::vector<float> x = RandomValues(rows * cols, 1);
  CacheOnDevice cache(c.batch, c.kv_heads, capacity, c.head_dim);
  // Beyond the tokens seen it holds NaN.
  std::vector<uint16_t> keys = cache.keys.ToHost(), values = keys;
  std::vector<std::vector<float>> host_keys, host_values;
  for (int64_t h = 0; h < c.batch * c.kv_heads; ++h) {
    host_keys.push_back(RandomValues(seen * c.head_dim, 10 + static_cast<uint32_t>(2 * h)));
    host_values.push_back(RandomValues(seen * c.head_dim, 11 + static_cast<uint32_t>(2 * h)));
    for (int64_t i = 0; i < seen * c.head_dim; ++i) {
      const int64_t at = h * capacity * c.head_dim + i;
      keys[at] = FloatToFp16(host_keys.back()[i]);
      values[at] = FloatToFp16(host_values.back()[i]);
      host_keys.back()[i] = Fp16ToFloat(keys[at]);
      host_values.back()[i] = Fp16ToFloat(values[at]);
    }
  }
  cache.keys = OnDevice(keys);
  cache.values = OnDevice(values);
  const DeviceMatrix qkv(FloatType::kFloat32, {x.data(), rows, cols});
  const Buffer<int32_t> length = OnDevice<int32_t>({static_cast<int32_t>(c.length)});
  const cuda::AttentionPlan plan =
      cuda::PlanAttention(c.batch, c.tokens, heads, cache.View(), c.blocks_wanted);
  const Buffer<float> partial(plan.partial, "test values");
  const Buffer<unsigned> counters = OnDevice(std::vector<unsigned>(plan.counters(), 0));
  std::vector<float> first;
  InAnyOrder([&] {
    const DeviceMatrix out(FloatType::kFloat32, rows, heads * c.head_dim);
    cuda::Attend(kQueue, plan, qkv.View(), cache.View(), c.window, length.data(),
                 {partial.data(), counters.data()}, out.View());
    const std::vector<float> found = out.Values();
    std::vector<double> expected(static_cast<size_t>(c.head_dim));
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t b = r / c.tokens, end = c.length + r % c.tokens + 1;
      const int64_t begin = c.window > 0 ? std::max<int64_t>(0, end - c.window) : 0;
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t kv = b * c.kv_heads + h / c.group;
        ReferenceAttention(x.data() + r * cols + h * c.head_dim, host_keys[kv], host_values[kv],
                           c.head_dim, begin, end, expected.data());
        for (int64_t d = 0; d < c.head_dim; ++d) {
          ASSERT_NEAR(found[(r * heads + h) * c.head_dim + d], expected[d], 1e-5)
              << "row " << r << ", head " << h << ", dim " << d;
        }
      }
    }
    EXPECT_TRUE(out.Untouched());
    if (first.empty()) first = found;
    EXPECT_EQ(found, first) << "runs differ";
    EXPECT_EQ(counters.ToHost(), std::vector<unsigned>(plan.counters(), 0));
  });
}

// As after RopeAndAppend, bit for bit; and the cache too.
TEST_P(DecodeAttentionOfOneToken, IsPlacedByItself) {
  const AttentionCase c = GetParam();
  const int64_t heads = c.kv_heads * c.group, capacity = c.length + 70, half = c.head_dim / 2;
  const int64_t cols = (heads + 2 * c.kv_heads) * c.head_dim;
  const std::vector<float> x = RandomValues(c.batch * cols, 1);
  const Buffer<float> cos = OnDevice(RandomValues(capacity * half, 2)),
                      sin = OnDevice(RandomValues(capacity * half, 3)),
                      query_norm = OnDevice(RandomValues(c.head_dim, 4)),
                      key_norm = OnDevice(RandomValues(c.head_dim, 5));
  const Buffer<int32_t> length = OnDevice<int32_t>({static_cast<int32_t>(c.length)});
  for (const bool normed : {false, true}) {
    for (const bool rotated : {false, true}) {
      std::vector<float> out[2];
      std::vector<uint16_t> keys[2], values[2];
      for (const bool itself : {false, true}) {
        const DeviceMatrix qkv(FloatType::kFloat32, {x.data(), c.batch, cols});
        CacheOnDevice cache(c.batch, c.kv_heads, capacity, c.head_dim);
        std::vector<uint16_t> seen = cache.keys.ToHost();
        for (int64_t h = 0; h < c.batch * c.kv_heads; ++h) {
          for (int64_t i = 0; i < c.length * c.head_dim; ++i) {
            seen[h * capacity * c.head_dim + i] =
                FloatToFp16(static_cast<float>((h + 7 * i) % 23) / 23);
          }
        }
        cache.keys = OnDevice(seen);
        cache.values = OnDevice(seen);
        cuda::RopeArguments place;
        place.qkv = qkv.View();
        place.heads = heads;
        place.tokens = 1;
        place.epsilon = 1e-6f;
        place.length = length.data();
        if (normed) {
          place.query_norm = query_norm.data();
          place.key_norm = key_norm.data();
        }
        if (rotated) {
          place.cos = cos.data();
          place.sin = sin.data();
        }
        const cuda::AttentionPlan plan =
            cuda::PlanAttention(c.batch, 1, heads, cache.View(), c.blocks_wanted);
        const Buffer<float> partial(plan.partial, "test values");
        const Buffer<unsigned> counters = OnDevice(std::vector<unsigned>(plan.counters(), 0));
        const DeviceMatrix attended(FloatType::kFloat32, c.batch, heads * c.head_dim);
        if (!itself) cuda::RopeAndAppend(kQueue, place, cache.View());
        InAnyOrder([&] {
          cuda::Attend(kQueue, plan, qkv.View(), cache.View(), c.window, length.data(),
                       {partial.data(), counters.data()}, attended.View(),
                       itself ? &place : nullptr);
          const std::vector<float> found = attended.Values();
          if (out[itself].empty()) out[itself] = found;
          EXPECT_EQ(found, out[itself]) << "runs differ";
        });
        EXPECT_TRUE(attended.Untouched());
        keys[itself] = cache.keys.ToHost();
        values[itself] = cache.values.ToHost();
      }
      EXPECT_EQ(out[1], out[0]) << (normed ? "normed" : "") << (rotated ? " rotated" : "");
      EXPECT_EQ(keys[1], keys[0]);
      EXPECT_EQ(values[1], values[0]);
    }
  }
}

TEST(DecodeKernels, AttentionIsPlannedByTheDevice) {
  const cuda::Cache cache = {nullptr, nullptr, 32, 2048, 128};
  const cuda::AttentionPlan one = cuda::PlanAttention(1, 1, 32, cache, 264);
  EXPECT_EQ(one.queries, 1);
  EXPECT_EQ(one.splits, 9);  // 32 blocks, 264 wanted
  const cuda::AttentionPlan prompt = cuda::PlanAttention(1, 100, 32, cache, 264);
  EXPECT_EQ(prompt.queries, 8);
  EXPECT_EQ(prompt.tiles, 13);
  EXPECT_EQ(prompt.splits, 1);
  EXPECT_EQ(prompt.partial, 0);
  const cuda::Cache shared = {nullptr, nullptr, 8, 300, 128};
  const cuda::AttentionPlan grouped = cuda::PlanAttention(1, 1, 24, shared, 264);
  EXPECT_EQ(grouped.queries, 4);
  EXPECT_EQ(grouped.splits, 3);  // of at least 128 positions
}

}  // namespace
}  // namespace sq
