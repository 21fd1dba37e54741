#include "sq/quant/segmentation.h"

#include <gmock/gmock.h>

#include <string>

#include "tests/support/kmeans_reference.h"

namespace sq {
namespace {

using test::LeastDistortions;
using test::ReferencePoints;
using test::Row;
using ::testing::ElementsAre;

std::vector<int32_t> Segments(const Row& row, int k, SegmentationStats* stats = nullptr) {
  WeightedPoints points;
  SegmentationWorkspace workspace;
  std::vector<int32_t> cuts;
  BuildWeightedPoints(row.weights.data(), row.sensitivity.data(), row.Size(), &points);
  OptimalSegments(points, k, &workspace, &cuts, stats);
  return cuts;
}

// Rounding may cost 1e-15 of mass * range^2; in the rows below the optimum is above 1e-6 of that.
constexpr double kTolerance = 1e-9;

void ExpectOptimal(const Row& row, const std::vector<int>& clusters, const std::string& name) {
  const ReferencePoints points(row);
  const int most = *std::max_element(clusters.begin(), clusters.end());
  const std::vector<long double> least =
      LeastDistortions(points, std::min<int64_t>(most, points.Count()));
  for (const int k : clusters) {
    if (k > points.Count()) continue;
    const std::vector<int32_t> cuts = Segments(row, k);
    ASSERT_EQ(static_cast<int>(cuts.size()), k + 1) << name << ", k = " << k;
    ASSERT_EQ(cuts.front(), 0) << name;
    ASSERT_EQ(cuts.back(), points.Count()) << name;
    for (int c = 0; c < k; ++c) ASSERT_LT(cuts[c], cuts[c + 1]) << name << ", k = " << k;
    const long double cost = points.Cost(cuts);
    EXPECT_LE(cost, least[k] * (1 + kTolerance) + 1e-300L)
        << name << ", k = " << k << ": " << static_cast<double>(cost / least[k] - 1)
        << " above the optimum";
  }
}

TEST(Segmentation, EqualsBruteForceOnSmallRows) {
  std::mt19937 random(11);
  for (int trial = 0; trial < 300; ++trial) {
    const int n = 1 + trial % 10;
    Row row;
    for (int i = 0; i < n; ++i) {
      // Few different values in every third row: equal weights and many ties.
      row.weights.push_back(trial % 3 == 0 ? static_cast<float>(random() % 7)
                                           : std::normal_distribution<float>()(random));
      row.sensitivity.push_back(trial % 2 == 0 ? 1.0f
                                               : std::exponential_distribution<float>()(random));
    }
    const ReferencePoints points(row);
    for (int k = 1; k <= points.Count(); ++k) {
      const long double least = test::BruteForceDistortion(points, k);
      EXPECT_LE(points.Cost(Segments(row, k)), least * (1 + kTolerance) + 1e-14L)
          << "trial " << trial << ", k = " << k;
    }
  }
}

TEST(Segmentation, EqualsThePlainDynamicProgramme) {
  const std::vector<int> clusters = {2, 3, 4, 7, 8, 15, 16};
  for (const int64_t n : {2, 3, 17, 33, 64, 130, 257, 300, 600}) {
    for (const double sigma : {0.0, 1.0, 3.0}) {
      for (uint32_t seed = 0; seed < 3; ++seed) {
        ExpectOptimal(test::StudentRow(n, sigma, seed), clusters,
                      "Student n = " + std::to_string(n) + ", sigma = " + std::to_string(sigma) +
                          ", seed = " + std::to_string(seed));
      }
    }
  }
}

TEST(Segmentation, EqualsThePlainDynamicProgrammeOnOddShapes) {
  std::mt19937 random(5);
  const std::vector<int> clusters = {2, 3, 4, 5, 8, 16, 31};
  Row uniform, bimodal, cubes, grid, spikes;
  for (int i = 0; i < 500; ++i) {
    const float u = std::uniform_real_distribution<float>(-1, 1)(random);
    uniform.weights.push_back(u);
    bimodal.weights.push_back(u * 0.01f + (i % 3 == 0 ? 1.0f : -1.0f));
    cubes.weights.push_back(u * u * u * u * u);
    grid.weights.push_back(static_cast<float>(random() % 40));
    spikes.weights.push_back(u);
    spikes.sensitivity.push_back(i % 50 == 0 ? 1e4f : 1e-2f);
  }
  for (Row* row : {&uniform, &bimodal, &cubes, &grid}) row->sensitivity.assign(500, 0.5f);
  ExpectOptimal(uniform, clusters, "uniform");
  ExpectOptimal(bimodal, clusters, "bimodal");
  ExpectOptimal(cubes, clusters, "fifth powers");
  ExpectOptimal(grid, clusters, "grid");
  ExpectOptimal(spikes, clusters, "spikes of sensitivity");
}

// Equal steps of the distortion: where n / k is not whole, sizes may come in any order, and for
// whole stretches of k no fee gives k clusters.
TEST(Segmentation, EquallySpacedRowsAreSpliced) {
  SegmentationStats stats;
  for (const int n : {7, 16, 40, 64, 100, 257, 300}) {
    Row row;
    for (int i = 0; i < n; ++i) {
      row.weights.push_back(static_cast<float>(i) - 0.5f * static_cast<float>(n - 1));
    }
    row.sensitivity.assign(n, 1.0f);
    std::vector<int> clusters;
    for (int k = 1; k <= std::min(n, 40); ++k) {
      clusters.push_back(k);
      Segments(row, k, &stats);
    }
    ExpectOptimal(row, clusters, "equally spaced, n = " + std::to_string(n));
  }
  EXPECT_GT(stats.splices, 20);
}

TEST(Segmentation, SymmetricRowsAndPairs) {
  std::mt19937 random(8);
  Row mirrored, pairs;
  for (int i = 0; i < 120; ++i) {
    const float w = std::normal_distribution<float>()(random);
    const float s = std::exponential_distribution<float>()(random);
    mirrored.weights.insert(mirrored.weights.end(), {w, -w});
    mirrored.sensitivity.insert(mirrored.sensitivity.end(), {s, s});
    pairs.weights.insert(pairs.weights.end(),
                         {static_cast<float>(4 * i), static_cast<float>(4 * i + 1)});
    pairs.sensitivity.insert(pairs.sensitivity.end(), {1.0f, 1.0f});
  }
  std::vector<int> clusters;
  for (int k = 1; k <= 130; ++k) clusters.push_back(k);
  ExpectOptimal(mirrored, clusters, "mirrored");
  ExpectOptimal(pairs, clusters, "pairs");
}

TEST(Segmentation, FindsPlateausExactly) {
  Row row;
  for (const float centre : {-3.0f, -1.0f, 0.5f, 4.0f}) {
    for (const float offset : {-0.01f, 0.0f, 0.01f}) row.weights.push_back(centre + offset);
  }
  row.sensitivity.assign(12, 1.0f);
  EXPECT_THAT(Segments(row, 4), ElementsAre(0, 3, 6, 9, 12));
}

TEST(Segmentation, IsCheapOnRealRows) {
  SegmentationStats stats;
  int rows = 0;
  for (const int64_t n : {576, 1536, 4096}) {
    for (const int k : {8, 16}) {
      for (uint32_t seed = 0; seed < 20; ++seed, ++rows) {
        Segments(test::StudentRow(n, seed % 2 == 0 ? 1 : 3, seed), k, &stats);
      }
    }
  }
  EXPECT_LT(static_cast<double>(stats.passes) / rows, 3);
  EXPECT_LT(static_cast<double>(stats.coarse_passes) / rows, 10);
}

}  // namespace
}  // namespace sq
