#include "sq/quant/distortion.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "tests/support/random_layer.h"

namespace sq {
namespace {

TEST(DistortionTest, CountsEachErrorOnce) {
  test::RandomLayer random = test::MakeRandomLayer(4, 40, 64, /*outliers_per_row=*/2, 9);
  std::vector<float> fisher(40 * 64, 2.0f);
  const Distortion none =
      MeasureDistortion({random.weight.data(), 40, 64}, {fisher.data(), 40, 64}, random.layer);
  EXPECT_EQ(none.squared_error, 0);
  EXPECT_EQ(none.weighted, 0);
  EXPECT_EQ(none.largest, 0);

  fisher[5] = 10;
  random.weight[5] += 0.5f;
  random.weight[39 * 64] -= 0.25f;
  double norm = 0;
  for (const float w : random.weight) norm += static_cast<double>(w) * w;
  for (const int threads : {1, 2, 7}) {
    SetThreadCount(threads);
    const Distortion some =
        MeasureDistortion({random.weight.data(), 40, 64}, {fisher.data(), 40, 64}, random.layer);
    // The shifted weights are rounded, by at most 2^-24 of values below 8.
    EXPECT_NEAR(some.squared_error, 0.25 + 0.0625, 1e-6);
    EXPECT_NEAR(some.weighted, 10 * 0.25 + 2 * 0.0625, 1e-5);
    EXPECT_NEAR(some.largest, 0.5, 1e-6);
    EXPECT_NEAR(some.squared_norm, norm, 1e-12 * norm);
    const Distortion plain = MeasureDistortion({random.weight.data(), 40, 64}, {}, random.layer);
    EXPECT_EQ(plain.weighted, plain.squared_error);
    EXPECT_EQ(plain.squared_error, some.squared_error);
  }
  SetThreadCount(0);
}

TEST(DistortionTest, RefusesOtherShapes) {
  const test::RandomLayer random = test::MakeRandomLayer(3, 4, 32, 0, 1);
  EXPECT_THROW(MeasureDistortion({random.weight.data(), 2, 64}, {}, random.layer), Error);
  EXPECT_THROW(
      MeasureDistortion({random.weight.data(), 4, 32}, {random.weight.data(), 2, 64}, random.layer),
      Error);
}

}  // namespace
}  // namespace sq
