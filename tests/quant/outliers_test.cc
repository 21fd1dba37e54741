#include "sq/quant/outliers.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>

#include "sq/base/error.h"
#include "sq/base/parallel.h"

namespace sq {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

OutlierPattern Choose(const std::vector<float>& weights, const std::vector<float>& fisher,
                      int64_t rows, const OutlierOptions& options) {
  const int64_t cols = static_cast<int64_t>(weights.size()) / rows;
  FisherView view;
  if (!fisher.empty()) view = {fisher.data(), rows, cols};
  return ChooseOutliers({weights.data(), rows, cols}, view, options, "w");
}

TEST(Outliers, SensitiveFirstThenLargestOfTheRest) {
  const std::vector<float> weights = {9, -8, 1, 2, 3, -7, 6, 0};
  const std::vector<float> fisher = {1, 2, 9, 3, 4, 5, 6, 8};
  const OutlierPattern pattern = Choose(weights, fisher, 2, {0.25, 0.375, 0});
  // By sensitivity places 2 and 7, then by |weight| 0, 1 and 5.
  EXPECT_THAT(pattern.row_ptr, ElementsAre(0, 3, 5));
  EXPECT_THAT(pattern.cols, ElementsAre(0, 1, 2, 1, 3));
  EXPECT_EQ(pattern.sensitive, 2);
  EXPECT_EQ(pattern.magnitude, 3);
}

TEST(Outliers, OfEqualOnesTheFirstAreTaken) {
  const std::vector<float> weights = {1, -2, 2, 2, -2, 2, 3, 1};
  const OutlierPattern pattern = Choose(weights, {}, 1, {0, 0.5, 0});
  EXPECT_THAT(pattern.cols, ElementsAre(1, 2, 3, 6));
  const std::vector<float> fisher(8, 0.5f);
  EXPECT_THAT(Choose(weights, fisher, 1, {0.375, 0.125, 0}).cols, ElementsAre(0, 1, 2, 6));
  EXPECT_THAT(Choose(weights, {}, 1, {0.375, 0.125, 0}).cols, ElementsAre(0, 1, 2, 6));
}

TEST(Outliers, NoneAndAll) {
  const std::vector<float> weights = {1, 2, 3, 4};
  const OutlierPattern none = Choose(weights, weights, 2, {});
  EXPECT_THAT(none.row_ptr, ElementsAre(0, 0, 0));
  EXPECT_THAT(none.cols, IsEmpty());
  EXPECT_THAT(Choose(weights, weights, 2, {0.5, 0.5, 0}).cols, ElementsAre(0, 1, 0, 1));
  // More than there are left: what is left.
  const OutlierPattern all = Choose(weights, weights, 2, {0.75, 0.75, 0});
  EXPECT_EQ(all.sensitive, 3);
  EXPECT_EQ(all.magnitude, 1);
}

TEST(Outliers, CountsAreFloorsOfExactProducts) {
  EXPECT_EQ(OutlierCount(0.0005, 1999), 0);
  EXPECT_EQ(OutlierCount(0.0005, 2000), 1);
  EXPECT_EQ(OutlierCount(0.0005, 3999), 1);
  EXPECT_EQ(OutlierCount(SparsityLevels(0.45).outlier_fraction, 1000), 4);
  EXPECT_EQ(OutlierCount(0.1 + 0.2, 10), 3);
  EXPECT_EQ(OutlierCount(0.29, 100), 29);  // 28.999999999999996 in doubles
  EXPECT_EQ(OutlierCount(1, int64_t{1} << 40), int64_t{1} << 40);
  EXPECT_EQ(OutlierCount(0.0005, 4096 * 4096), 8388);
}

TEST(Outliers, SparsityLevelsOfThePaper) {
  EXPECT_EQ(SparsityLevels(0).sensitive_fraction, 0);
  EXPECT_EQ(SparsityLevels(0).outlier_fraction, 0);
  EXPECT_DOUBLE_EQ(SparsityLevels(0.03).sensitive_fraction, 0.0003);
  EXPECT_EQ(SparsityLevels(0.05).outlier_fraction, 0);
  EXPECT_DOUBLE_EQ(SparsityLevels(0.45).sensitive_fraction, 0.0005);
  EXPECT_DOUBLE_EQ(SparsityLevels(0.45).outlier_fraction, 0.004);
  EXPECT_THROW(SparsityLevels(-1), Error);
  EXPECT_THROW(SparsityLevels(101), Error);
  EXPECT_THROW(SparsityLevels(NAN), Error);
}

TEST(Outliers, AgreesWithASortOnRandomMatrices) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 60; ++trial) {
    const int64_t rows = 1 + trial % 5;
    const int64_t cols = 1 + static_cast<int64_t>(random() % (trial % 10 == 9 ? 50000 : 300));
    std::vector<float> weights(rows * cols), fisher(rows * cols);
    for (float& w : weights) {
      w = trial % 2 == 0 ? static_cast<float>(static_cast<int>(random() % 9) - 4)
                         : std::normal_distribution<float>()(random);
    }
    for (float& f : fisher) {
      f = trial % 3 == 0 ? static_cast<float>(random() % 4)
                         : std::exponential_distribution<float>()(random);
    }
    const OutlierOptions options{0.01 * (trial % 7), 0.03 * (trial % 4), 0};
    std::vector<int64_t> order(weights.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int64_t a, int64_t b) { return fisher[a] > fisher[b]; });
    const auto count = [&](double fraction) {
      return OutlierCount(fraction, static_cast<int64_t>(weights.size()));
    };
    std::set<int64_t> expected(order.begin(), order.begin() + count(options.sensitive_fraction));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return std::fabs(weights[a]) > std::fabs(weights[b]);
    });
    int64_t left = count(options.outlier_fraction);
    for (const int64_t place : order) {
      if (left > 0 && expected.insert(place).second) --left;
    }
    const OutlierPattern pattern = Choose(weights, fisher, rows, options);
    std::vector<int64_t> places;
    for (int64_t row = 0; row < rows; ++row) {
      for (int32_t at = pattern.row_ptr[row]; at < pattern.row_ptr[row + 1]; ++at) {
        places.push_back(row * cols + pattern.cols[at]);
      }
    }
    EXPECT_EQ(places, std::vector<int64_t>(expected.begin(), expected.end())) << "trial " << trial;
  }
}

// np.quantile([1 .. 10], [.25, .75]) = 3.25, 7.75: iqr 4.5.
TEST(Outliers, RangeFollowsNumpysQuantiles) {
  const std::vector<float> weights = {7, 3, 10, 1, 5, 2, 9, 4, 8, 6};
  EXPECT_DOUBLE_EQ(RangeThreshold({weights.data(), 2, 5}, 1), 12.25);
  EXPECT_DOUBLE_EQ(RangeThreshold({weights.data(), 1, 10}, 3), 21.25);
  // np.quantile([-5, 0, 1, 2], [.25, .75]) = -1.25, 1.25; the lower fence -6.25 is as far as the
  // upper.
  const std::vector<float> few = {2, -5, 0, 1};
  EXPECT_DOUBLE_EQ(RangeThreshold({few.data(), 1, 4}, 2), 6.25);
  const std::vector<float> one = {-4};
  EXPECT_DOUBLE_EQ(RangeThreshold({one.data(), 1, 1}, 2), 4);
  // np.quantile([-10, -8, -1, 0, 3], [.25, .75]) = -8, 0: the lower fence is the larger.
  const std::vector<float> skewed = {-1, 0, 3, -10, -8};
  EXPECT_DOUBLE_EQ(RangeThreshold({skewed.data(), 1, 5}, 0.5), 12);
}

TEST(Outliers, RangeTakesAllAtOrAboveTheThreshold) {
  // Quartiles -1 and 1 (np.quantile), range 2: threshold 5.
  const std::vector<float> weights = {-1, -1, -1, 0, 0, 1, 1, 1, 5, -5, 4.9f, -4.9f, 0};
  EXPECT_DOUBLE_EQ(RangeThreshold({weights.data(), 1, 13}, 2), 5);
  const OutlierPattern pattern = Choose(weights, {}, 1, {0, 0, 2});
  EXPECT_THAT(pattern.cols, ElementsAre(8, 9));
  EXPECT_EQ(pattern.magnitude, 2);
}

TEST(Outliers, RefusesOptionsOutOfRange) {
  const std::vector<float> weights(4, 1.0f);
  EXPECT_THROW(Choose(weights, {}, 1, {-0.1, 0, 0}), Error);
  EXPECT_THROW(Choose(weights, {}, 1, {1.1, 0, 0}), Error);
  EXPECT_THROW(Choose(weights, {}, 1, {0, NAN, 0}), Error);
  EXPECT_THROW(Choose(weights, {}, 1, {0, 0, -1}), Error);
  EXPECT_THROW(Choose(weights, {}, 1, {0, 0, INFINITY}), Error);
  EXPECT_THROW(Choose(weights, {}, 1, {0, 0.1, 1}), Error);
}

// Enough rows for several runs of the parallel loops.
TEST(Outliers, SamePlacesForAnyThreadCount) {
  const int64_t rows = 300, cols = 1000;
  std::mt19937 random(4);
  std::vector<float> weights(rows * cols), fisher(rows * cols);
  for (float& w : weights) w = static_cast<float>(static_cast<int>(random() % 2001) - 1000);
  for (float& f : fisher) f = static_cast<float>(random() % 50);
  const auto choose = [&](int threads, const OutlierOptions& options) {
    SetThreadCount(threads);
    const OutlierPattern pattern = Choose(weights, fisher, rows, options);
    SetThreadCount(0);
    return pattern;
  };
  for (const OutlierOptions& options :
       {OutlierOptions{0.03, 0.05, 0}, OutlierOptions{0.01, 0, 0.4}}) {
    const OutlierPattern one = choose(1, options);
    EXPECT_GT(one.magnitude, 1000);
    EXPECT_EQ(one.sensitive, OutlierCount(options.sensitive_fraction, rows * cols));
    for (const int threads : {2, 7}) {
      const OutlierPattern other = choose(threads, options);
      EXPECT_EQ(other.cols, one.cols);
      EXPECT_EQ(other.row_ptr, one.row_ptr);
    }
  }
}

TEST(Outliers, StridesAreRespected) {
  const std::vector<float> weights = {1, 2, 99, 3, 4, 99};
  const OutlierPattern pattern = ChooseOutliers({weights.data(), 2, 2, 3}, {}, {0, 0.5, 0}, "w");
  EXPECT_THAT(pattern.row_ptr, ElementsAre(0, 0, 2));
  EXPECT_THAT(pattern.cols, ElementsAre(0, 1));
}

}  // namespace
}  // namespace sq
