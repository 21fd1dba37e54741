#include "sq/kernels/packed_matmul.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <functional>
#include <random>
#include <tuple>

#include "sq/base/parallel.h"
#include "tests/support/error_message.h"
#include "tests/support/matmul_reference.h"
#include "tests/support/random_layer.h"

namespace sq {
namespace {

using test::kSparse;
using test::MakeSparseLayer;
using test::MakeWhole;
using test::MessageOf;
using test::PoisonedMatrix;
using test::Sparse;

std::atomic<int> gemm_calls{0};

void PlainGemm(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y) {
  ++gemm_calls;
  for (int64_t t = 0; t < x.rows; ++t) {
    for (int64_t o = 0; o < w.rows; ++o) {
      float sum = 0;
      for (int64_t i = 0; i < x.cols; ++i) sum += x.Row(t)[i] * w.Row(o)[i];
      y.Row(t)[o] = sum;
    }
  }
}

void Fill(MatrixView<float> matrix, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (int64_t r = 0; r < matrix.rows; ++r) {
    for (int64_t c = 0; c < matrix.cols; ++c) matrix.Row(r)[c] = normal(random);
  }
}

// Of the reference, as many tokens as y has.
void ExpectNear(const std::vector<float>& y, const test::MatmulReference& reference,
                const std::string& what) {
  ASSERT_LE(y.size(), reference.y.size());
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    const double excess = std::abs(y[i] - reference.y[i]) / reference.tolerance[i];
    if (!(excess <= worst)) {  // NaN comes in here too
      worst = excess;
      at = i;
    }
  }
  EXPECT_LE(worst, 1) << what << ": element " << at << " is " << y[at] << ", expected "
                      << reference.y[at] << " within " << reference.tolerance[at];
}

using Size = std::tuple<int, int64_t, int64_t>;  // bits, out, in
class PackedMatmulSizes : public ::testing::TestWithParam<Size> {};
INSTANTIATE_TEST_SUITE_P(PackedMatmul, PackedMatmulSizes,
                         ::testing::Combine(::testing::Values(2, 3, 4),
                                            ::testing::Values(1, 5, 64, 65, 130),
                                            ::testing::Values(32, 96, 160, 1056)),
                         [](const auto& info) {
                           return std::to_string(std::get<0>(info.param)) + "bit_" +
                                  std::to_string(std::get<1>(info.param)) + "x" +
                                  std::to_string(std::get<2>(info.param));
                         });

TEST_P(PackedMatmulSizes, AgreesWithDoublePrecision) {
  const auto [bits, out, in] = GetParam();
  constexpr int64_t kMaxTokens = 17;
  PoisonedMatrix all(kMaxTokens, in, 3);
  Fill(all.View(), 1);
  for (const Sparse sparse : kSparse) {
    PackedLayer layer = MakeSparseLayer(bits, out, in, sparse, 11);
    if (sparse == Sparse::kNoEntries || sparse == Sparse::kMany) {
      layer.bias.assign(layer.lookup_table.begin(), layer.lookup_table.begin() + out);
    }
    const test::MatmulReference reference = test::ReferenceMatmul(layer, all.View());
    for (const int64_t tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17}) {
      const MatrixView<const float> x{all.View().data, tokens, in, all.View().stride};
      for (const Gemm gemm : {Gemm{nullptr}, Gemm{PlainGemm}}) {
        const std::string what = StrCat("outliers ", static_cast<int>(sparse), ", tokens ", tokens,
                                        gemm == nullptr ? "" : ", with a gemm");
        PoisonedMatrix y(tokens, out, 5);
        PackedMatmul(CpuLayer(layer), x, y.View(), gemm);
        ExpectNear(y.Values(), reference, what);
        EXPECT_TRUE(y.Untouched()) << what;
      }
    }
  }
}

TEST_P(PackedMatmulSizes, IsExactForSmallWholeNumbers) {
  const auto [bits, out, in] = GetParam();
  for (const Sparse sparse : kSparse) {
    PackedLayer layer = MakeSparseLayer(bits, out, in, sparse, 12);
    MakeWhole(&layer.lookup_table);
    MakeWhole(&layer.outliers.vals);
    for (const int64_t tokens : {1, 9}) {
      std::vector<float> x(static_cast<size_t>(tokens * in)), y(static_cast<size_t>(tokens * out));
      Fill({x.data(), tokens, in}, 5);
      MakeWhole(&x);
      const std::vector<double> expected = test::ReferenceMatmul(layer, {x.data(), tokens, in}).y;
      PackedMatmul(CpuLayer(layer), {x.data(), tokens, in}, {y.data(), tokens, out}, PlainGemm);
      for (size_t i = 0; i < y.size(); ++i) {
        ASSERT_EQ(y[i], expected[i]) << "outliers " << static_cast<int>(sparse) << ", tokens "
                                     << tokens << ", element " << i;
      }
    }
  }
}

TEST_P(PackedMatmulSizes, GivesTheSameBitsForAnyThreadCount) {
  const auto [bits, out, in] = GetParam();
  const PackedLayer layer = MakeSparseLayer(bits, out, in, Sparse::kMany, 13);
  for (const int64_t tokens : {1, 3, 9}) {
    std::vector<float> x(static_cast<size_t>(tokens * in));
    Fill({x.data(), tokens, in}, 6);
    std::vector<float> first;
    for (const int threads : {1, 2, 7}) {
      SetThreadCount(threads);
      std::vector<float> y(static_cast<size_t>(tokens * out), NAN);
      PackedMatmul(CpuLayer(layer), {x.data(), tokens, in}, {y.data(), tokens, out}, PlainGemm);
      if (threads == 1) first = y;
      EXPECT_EQ(y, first) << threads << " threads, " << tokens << " tokens";
    }
    SetThreadCount(0);
  }
}

TEST(PackedMatmul, CoversLayersOfSeveralTiles) {
  const PackedLayer layer =
      MakeSparseLayer(3, 500, 1056, Sparse::kOnePerRow, 14);  // tiles of 224 rows
  const int64_t tokens = kGemmTokens;
  PoisonedMatrix x(tokens, 1056, 1), y(tokens, 500, 1);
  Fill(x.View(), 7);
  gemm_calls = 0;
  PackedMatmul(CpuLayer(layer), x.View(), y.View(), PlainGemm);
  EXPECT_GT(gemm_calls, 1);
  ExpectNear(y.Values(), test::ReferenceMatmul(layer, x.View()), "500 x 1056");
  EXPECT_TRUE(y.Untouched());
}

// A row longer than a tile: tiles have their least number of rows.
TEST(PackedMatmul, CoversRowsLongerThanATile) {
  const int64_t out = 33, in = 256 * 1024 + 32, tokens = kGemmTokens;
  PackedLayer layer = MakeSparseLayer(2, out, in, Sparse::kNone, 15);
  MakeWhole(&layer.lookup_table);
  std::vector<float> x(static_cast<size_t>(tokens * in)), y(static_cast<size_t>(tokens * out), NAN);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 5) - 2;
  PackedMatmul(CpuLayer(layer), {x.data(), tokens, in}, {y.data(), tokens, out}, PlainGemm);
  const std::vector<double> expected = test::ReferenceMatmul(layer, {x.data(), tokens, in}).y;
  for (size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], expected[i]) << i;
}

TEST(PackedMatmul, CallsTheGemmFromEnoughTokensOnOnly) {
  const PackedLayer layer = MakeSparseLayer(4, 5, 32, Sparse::kNone, 16);
  for (const int64_t tokens : {int64_t{1}, kGemmTokens - 1, kGemmTokens}) {
    std::vector<float> x(static_cast<size_t>(tokens * 32), 1), y(static_cast<size_t>(tokens * 5));
    gemm_calls = 0;
    PackedMatmul(CpuLayer(layer), {x.data(), tokens, 32}, {y.data(), tokens, 5}, PlainGemm);
    EXPECT_EQ(gemm_calls > 0, tokens >= kGemmTokens) << tokens;
  }
}

std::atomic<int64_t> loop_items{0};

void BackwardLoop(int64_t count, const std::function<void(int64_t)>& body) {
  loop_items += count;
  for (int64_t i = count - 1; i >= 0; --i) body(i);
}

TEST(PackedMatmul, RunsOnTheCallersLoopAndInAnyOrder) {
  const PackedLayer layer = MakeSparseLayer(3, 500, 1056, Sparse::kMany, 19);
  for (const int64_t tokens : {int64_t{2}, kGemmTokens}) {
    std::vector<float> x(static_cast<size_t>(tokens * 1056));
    Fill({x.data(), tokens, 1056}, 8);
    std::vector<float> ours(static_cast<size_t>(tokens * 500)), theirs(ours.size(), NAN);
    PackedMatmul(CpuLayer(layer), {x.data(), tokens, 1056}, {ours.data(), tokens, 500}, PlainGemm);
    loop_items = 0;
    PackedMatmul(CpuLayer(layer), {x.data(), tokens, 1056}, {theirs.data(), tokens, 500}, PlainGemm,
                 BackwardLoop);
    EXPECT_GT(loop_items, 1) << tokens;
    EXPECT_EQ(theirs, ours) << tokens;
  }
}

TEST(PackedMatmul, TakesNoTokens) {
  PackedLayer layer = MakeSparseLayer(4, 5, 32, Sparse::kOnePerRow, 17);
  layer.bias.assign(5, 1);
  PackedMatmul(CpuLayer(layer), {nullptr, 0, 32}, {nullptr, 0, 5}, PlainGemm);
}

TEST(PackedMatmul, SaysWhichShapesDoNotGoTogether) {
  const PackedLayer layer = MakeSparseLayer(4, 5, 64, Sparse::kNone, 18);
  std::vector<float> x(1000), y(1000);
  const auto refusal = [&](MatrixView<const float> from, MatrixView<float> to) {
    return MessageOf([&] { PackedMatmul(CpuLayer(layer), from, to, PlainGemm); });
  };
  EXPECT_EQ(refusal({x.data(), 2, 63}, {y.data(), 2, 5}),
            "packed layer of [5, 64]: x is [2, 63], y is [2, 5]");
  EXPECT_EQ(refusal({x.data(), 2, 64}, {y.data(), 2, 6}),
            "packed layer of [5, 64]: x is [2, 64], y is [2, 6]");
  EXPECT_EQ(refusal({x.data(), 2, 64}, {y.data(), 3, 5}),
            "packed layer of [5, 64]: x is [2, 64], y is [3, 5]");
}

}  // namespace
}  // namespace sq
