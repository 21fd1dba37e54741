#include "sq/quant/weighted_points.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "sq/base/half.h"
#include "tests/support/kmeans_reference.h"

namespace sq {
namespace {

using ::testing::ElementsAre;

WeightedPoints Points(const test::Row& row) {
  WeightedPoints points;
  BuildWeightedPoints(row.weights.data(), row.sensitivity.data(), row.Size(), &points);
  return points;
}

TEST(WeightedPointsTest, SortsMergesAndSums) {
  const WeightedPoints points = Points({{3, -1, 3, 0.5f, -1, 7}, {1, 2, 4, 8, 1, 0}});
  EXPECT_THAT(points.value, ElementsAre(-1, 0.5, 3));
  EXPECT_THAT(points.mass, ElementsAre(3, 8, 5));
  EXPECT_THAT(points.mass_to, ElementsAre(0, 3, 11, 16));
  EXPECT_DOUBLE_EQ(points.mean, (-3 + 4 + 15) / 16.0);
  EXPECT_EQ(points.mean, 1);
  EXPECT_THAT(points.moment_to, ElementsAre(0, -6, -10, 0));
  EXPECT_EQ(points.second_moment, 3 * 4 + 8 * 0.25 + 5 * 4);
}

TEST(WeightedPointsTest, BothZerosAreOneValue) {
  const WeightedPoints points = Points({{0.0f, -0.0f, 1, -1, -0.0f}, {1, 2, 1, 1, 4}});
  EXPECT_THAT(points.value, ElementsAre(-1, 0, 1));
  EXPECT_THAT(points.mass, ElementsAre(1, 7, 1));
  EXPECT_FALSE(std::signbit(points.value[1]));
}

TEST(WeightedPointsTest, WithoutSensitivityEveryWeightCountsOne) {
  const WeightedPoints points = Points({{2, 1, 2}, {0, 0, 0}});
  EXPECT_THAT(points.value, ElementsAre(1, 2));
  EXPECT_THAT(points.mass, ElementsAre(1, 2));
}

// Keys of different formats take different numbers of passes.
TEST(WeightedPointsTest, SortsEveryFormat) {
  std::mt19937 random(1);
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float huge = std::numeric_limits<float>::max();
  for (int format = 0; format < 5; ++format) {
    for (const int64_t n : {1, 2, 100, 3000}) {
      test::Row row;
      for (int64_t i = 0; i < n; ++i) {
        float w = std::normal_distribution<float>(0, 0.05f)(random);
        if (format == 0) w = Fp16ToFloat(FloatToFp16(w));
        if (format == 1) w = Bf16ToFloat(FloatToBf16(w));
        if (format == 3) w = static_cast<float>(static_cast<int>(random() % 41) - 20) * tiny;
        if (format == 4) w = i % 3 == 0 ? huge : i % 3 == 1 ? -huge : w * tiny;
        row.weights.push_back(w);
        row.sensitivity.push_back(std::exponential_distribution<float>()(random));
      }
      const WeightedPoints points = Points(row);
      const test::ReferencePoints expected(row);
      ASSERT_EQ(points.Count(), expected.Count()) << "format " << format << ", n = " << n;
      for (int64_t i = 0; i < points.Count(); ++i) {
        ASSERT_EQ(points.value[i], static_cast<double>(expected.value[i]));
        ASSERT_NEAR(points.mass[i], static_cast<double>(expected.mass[i]), 1e-12 * points.mass[i]);
      }
    }
  }
}

TEST(WeightedPointsTest, PointsTooLightForTheSumShareTheNextOne) {
  // Near 2^60 doubles are 256 apart: one 100 is lost, two are not.
  const float heavy = std::ldexp(1.0f, 60);
  const WeightedPoints points = Points({{1, 2, 3, 4, 5}, {heavy, 100, 100, heavy, 100}});
  EXPECT_THAT(points.value, ElementsAre(1, 3, 4));
  EXPECT_THAT(points.mass, ElementsAre(heavy, 200, heavy));
  for (int64_t i = 0; i < points.Count(); ++i) EXPECT_LT(points.mass_to[i], points.mass_to[i + 1]);
}

}  // namespace
}  // namespace sq
