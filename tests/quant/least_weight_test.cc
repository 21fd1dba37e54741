#include "sq/quant/least_weight.h"

#include <gmock/gmock.h>

#include "sq/quant/weighted_points.h"
#include "tests/support/kmeans_reference.h"

namespace sq {
namespace {

using ::testing::ElementsAre;

class LeastWeight : public ::testing::TestWithParam<int> {
 protected:
  LeastWeight() : row_(test::StudentRow(GetParam(), 2, GetParam())) {
    BuildWeightedPoints(row_.weights.data(), row_.sensitivity.data(), row_.Size(), &points_);
  }
  Boundaries All() const {
    return {points_.mass_to.data(), points_.moment_to.data(), points_.Count()};
  }

  test::Row row_;
  WeightedPoints points_;
};
INSTANTIATE_TEST_SUITE_P(Size, LeastWeight,
                         ::testing::Values(1, 2, 3, 5, 8, 9, 16, 17, 100, 257, 700));

// Fees from one cluster for the whole row down to one for each point: clusters longer and shorter
// than the blocks of the pass.
TEST_P(LeastWeight, EqualsTryingEveryBeginning) {
  const Boundaries all = All();
  LeastWeightWorkspace workspace;
  std::vector<int32_t> cuts;
  size_t clusters = 0;
  for (double share = 10; share > 1e-12; share /= 3) {
    const double fee = share * points_.second_moment;
    LeastWeightPass(all, fee, &workspace, &cuts);
    std::vector<double> best(all.count + 1, -std::numeric_limits<double>::infinity());
    best[0] = 0;
    for (int64_t end = 1; end <= all.count; ++end) {
      for (int64_t begin = 0; begin < end; ++begin) {
        best[end] = std::max(best[end], best[begin] + all.Gain(begin, end) - fee);
      }
    }
    double value = 0;
    for (size_t c = 1; c < cuts.size(); ++c) {
      ASSERT_LT(cuts[c - 1], cuts[c]);
      value += all.Gain(cuts[c - 1], cuts[c]) - fee;
    }
    EXPECT_EQ(cuts.front(), 0);
    EXPECT_EQ(cuts.back(), all.count);
    // Each of up to 700 sums rounds relative to the largest of them.
    const double rounding = 1e-13 * (points_.second_moment + static_cast<double>(all.count) * fee);
    EXPECT_NEAR(value, best[all.count], rounding) << "fee " << share;
    EXPECT_NEAR(workspace.best[all.count], best[all.count], rounding) << "fee " << share;
    EXPECT_GE(cuts.size(), clusters);  // a smaller fee never means fewer clusters
    clusters = cuts.size();
  }
}

TEST_P(LeastWeight, NoFeeMeansAClusterForEachPoint) {
  LeastWeightWorkspace workspace;
  std::vector<int32_t> cuts;
  LeastWeightPass(All(), -points_.second_moment - 1, &workspace, &cuts);
  EXPECT_EQ(static_cast<int64_t>(cuts.size()), points_.Count() + 1);
}

TEST(LeastWeightTies, TheLowestBeginningIsTaken) {
  // Points at -1, 0 and 1: {-1} {0, 1} and {-1, 0} {1} are equally good.
  const std::vector<double> mass = {0, 1, 2, 3}, moment = {0, -1, -1, 0};
  LeastWeightWorkspace workspace;
  std::vector<int32_t> cuts;
  LeastWeightPass({mass.data(), moment.data(), 3}, 0.75, &workspace, &cuts);
  EXPECT_THAT(cuts, ElementsAre(0, 1, 3));
}

}  // namespace
}  // namespace sq
