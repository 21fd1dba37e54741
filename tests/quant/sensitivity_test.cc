#include "sq/quant/sensitivity.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <vector>

#include "sq/base/error.h"

namespace sq {
namespace {

using ::testing::ElementsAre;

std::vector<float> Sensitivity(const std::vector<float>& weights,
                               const std::vector<float>& fisher) {
  std::vector<float> out(weights.size(), -1);
  RowSensitivity(weights.data(), fisher.empty() ? nullptr : fisher.data(),
                 static_cast<int64_t>(weights.size()), out.data());
  return out;
}

TEST(Sensitivity, ZeroWeightsWeighNothing) {
  EXPECT_THAT(Sensitivity({0.0f, 1.0f, -0.0f, -2.0f}, {5, 6, 7, 8}), ElementsAre(0, 6, 0, 8));
}

TEST(Sensitivity, WithoutFisherEveryWeightButZeroCountsTheSame) {
  EXPECT_THAT(Sensitivity({3, 0, 1}, {}), ElementsAre(1, 0, 1));
}

TEST(Sensitivity, ARowWithNothingLeftCountsEveryWeight) {
  EXPECT_THAT(Sensitivity({1, 2, 0}, {0, 0, 0}), ElementsAre(1, 1, 1));
  EXPECT_THAT(Sensitivity({0, 0, 2}, {4, 5, 0}), ElementsAre(1, 1, 1));
  EXPECT_THAT(Sensitivity({0, 0}, {}), ElementsAre(1, 1));
}

TEST(Sensitivity, SubnormalsAreNotNothing) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  EXPECT_THAT(Sensitivity({1, tiny, 2}, {tiny, 1, 0}), ElementsAre(tiny, 1, 0));
}

std::string Refusal(const std::vector<float>& weights, const std::vector<float>& fisher) {
  try {
    ValidateSensitivity({weights.data(), 2, 2}, {fisher.data(), 2, 2}, "layers.3.q_proj");
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Sensitivity, ValidationNamesTensorRowAndColumn) {
  EXPECT_EQ(Refusal({1, 2, 3, 4}, {0, 1e-38f, 2, 3}), "");
  EXPECT_EQ(
      Refusal({1, 2, 3, 4}, {0, 1, -2, 3}),
      "layers.3.q_proj: expected a finite, non-negative sensitivity at row 1, column 0, found "
      "-2");
  EXPECT_EQ(
      Refusal({1, 2, 3, 4}, {0, INFINITY, 2, 3}),
      "layers.3.q_proj: expected a finite, non-negative sensitivity at row 0, column 1, found "
      "inf");
  EXPECT_THAT(Refusal({1, 2, 3, 4}, {0, 1, 2, NAN}), ::testing::HasSubstr("row 1, column 1"));
  EXPECT_THAT(Refusal({1, 2, NAN, 4}, {0, 1, 2, 3}),
              ::testing::HasSubstr("expected a finite weight at row 1, column 0, found nan"));
}

TEST(Sensitivity, ValidationComparesShapes) {
  const std::vector<float> values(8, 1.0f);
  EXPECT_NO_THROW(ValidateSensitivity({values.data(), 2, 4}, {}, "w"));
  EXPECT_THROW(ValidateSensitivity({values.data(), 2, 4}, {values.data(), 4, 2}, "w"), Error);
}

}  // namespace
}  // namespace sq
