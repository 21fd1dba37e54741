#include "sq/quant/kmeans1d.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "tests/support/kmeans_reference.h"

namespace sq {
namespace {

using test::Row;
using ::testing::Each;
using ::testing::ElementsAre;

struct Result {
  double objective;
  std::vector<float> centroids;
  std::vector<uint8_t> index;

  bool operator==(const Result& other) const {
    return objective == other.objective && centroids == other.centroids && index == other.index;
  }
};

Result Cluster(const Row& row, int k, Kmeans1dWorkspace* workspace = nullptr) {
  Kmeans1dWorkspace own;
  Result result{0, std::vector<float>(k, NAN), std::vector<uint8_t>(row.weights.size(), 255)};
  result.objective = Kmeans1d(row.weights.data(), row.sensitivity.data(), row.Size(), k,
                              workspace != nullptr ? workspace : &own, result.centroids.data(),
                              result.index.data());
  return result;
}

// Everything that the contract promises, the optimum included, checked from outside.
void ExpectContract(const Row& row, int k, const std::string& name) {
  const Result result = Cluster(row, k);
  EXPECT_TRUE(std::is_sorted(result.centroids.begin(), result.centroids.end())) << name;
  for (const float c : result.centroids) EXPECT_TRUE(std::isfinite(c)) << name;
  const bool uniform =
      std::all_of(row.sensitivity.begin(), row.sensitivity.end(), [](float s) { return s == 0; });
  long double objective = 0, mass = 0;
  float largest = 0;
  for (int64_t i = 0; i < row.Size(); ++i) {
    int nearest = 0;
    const auto distance = [&](int c) {
      return std::fabs(static_cast<double>(row.weights[i]) - result.centroids[c]);
    };
    for (int c = 1; c < k; ++c) {
      if (distance(c) < distance(nearest)) nearest = c;
    }
    ASSERT_EQ(result.index[i], nearest) << name << ", weight " << i;
    const long double s = uniform ? 1 : row.sensitivity[i];
    objective += s * distance(nearest) * distance(nearest);
    mass += s;
    largest = std::max(largest, std::fabs(row.weights[i]));
  }
  EXPECT_NEAR(result.objective, static_cast<double>(objective),
              1e-13 * static_cast<double>(objective))
      << name;
  const test::ReferencePoints points(row);
  const int64_t clusters = std::min<int64_t>(k, points.Count());
  // A mean off by its rounding to fp32 adds the square of that for the mass of its cluster.
  const long double rounding = std::max(std::ldexp(static_cast<long double>(largest), -24),
                                        static_cast<long double>(std::ldexp(1.0, -150)));
  EXPECT_LE(result.objective, test::LeastDistortions(points, clusters)[clusters] * (1 + 1e-9L) +
                                  mass * rounding * rounding)
      << name;
}

TEST(Kmeans1d, KeepsItsContractOnRandomRows) {
  for (const int64_t n : {1, 2, 5, 30, 200, 500}) {
    for (const int k : {1, 2, 3, 4, 8, 16}) {
      for (const double sigma : {0.0, 1.0, 3.0}) {
        ExpectContract(test::StudentRow(n, sigma, static_cast<uint32_t>(n) + k), k,
                       "n = " + std::to_string(n) + ", k = " + std::to_string(k));
      }
    }
  }
}

TEST(Kmeans1d, KeepsItsContractOnSmallRowsOfTies) {
  std::mt19937 random(2);
  for (int trial = 0; trial < 400; ++trial) {
    Row row;
    for (int i = 0; i <= trial % 10; ++i) {
      row.weights.push_back(static_cast<float>(static_cast<int>(random() % 9) - 4));
      row.sensitivity.push_back(static_cast<float>(random() % 3));
    }
    for (int k = 1; k <= 11; ++k) {
      ExpectContract(row, k, "trial " + std::to_string(trial) + ", k = " + std::to_string(k));
    }
  }
}

TEST(Kmeans1d, KeepsItsContractAtTheEdgesOfFloats) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float huge = std::numeric_limits<float>::max();
  const Row base = test::StudentRow(150, 1, 9);
  const auto scaled = [&](float weight, float sensitivity) {
    Row row = base;
    for (float& w : row.weights) w *= weight;
    for (float& s : row.sensitivity) s *= sensitivity;
    return row;
  };
  ExpectContract(scaled(1e4f, 1e-20f), 8, "large weights, small sensitivities");
  ExpectContract(scaled(1e-6f, 1e25f), 8, "small weights, large sensitivities");
  ExpectContract(scaled(1, 1e-36f), 8, "subnormal sensitivities");
  ExpectContract(scaled(1e-36f, 1), 8, "subnormal weights");
  ExpectContract(scaled(1e-36f, 1e-36f), 8, "subnormal both");
  ExpectContract({{huge, -huge, huge / 2, 0, tiny, -tiny}, {huge, huge, huge, huge, huge, huge}}, 3,
                 "largest weights and sensitivities");
  ExpectContract({{tiny, 2 * tiny, 5 * tiny, 9 * tiny}, {tiny, tiny, tiny, tiny}}, 2,
                 "smallest weights and sensitivities");
  ExpectContract({{0.0f, -0.0f, 1, -1}, {1, 1, 1, 1}}, 2, "both zeros");
  ExpectContract({{1, 2, 3, 4, 5, 6}, {1e-12f, 1, 1e-12f, 1e-12f, 1, 1e-12f}}, 3, "light weights");
}

// Weights far from zero: the objective is that of the rounded centroids.
TEST(Kmeans1d, ReportsTheObjectiveOfWhatItStores) {
  Row row;
  for (int i = 0; i < 64; ++i) {
    row.weights.push_back(1000 + static_cast<float>(i % 7) * std::ldexp(1.0f, -14));
    row.sensitivity.push_back(1);
  }
  ExpectContract(row, 4, "far from zero");
}

TEST(Kmeans1d, SpareCentroidsRepeatTheLargest) {
  const Result result = Cluster({{5, 1, 5, 3}, {1, 1, 1, 1}}, 8);
  EXPECT_THAT(result.centroids, ElementsAre(1, 3, 5, 5, 5, 5, 5, 5));
  EXPECT_THAT(result.index, ElementsAre(2, 0, 2, 1));
  EXPECT_EQ(result.objective, 0);
}

TEST(Kmeans1d, AllEqualAndSingleWeights) {
  const Result equal = Cluster({std::vector<float>(33, -0.1f), std::vector<float>(33, 0.3f)}, 16);
  EXPECT_THAT(equal.centroids, Each(-0.1f));
  EXPECT_THAT(equal.index, Each(0));
  EXPECT_EQ(equal.objective, 0);
  const Result single = Cluster({{0.7f}, {0}}, 1);
  EXPECT_THAT(single.centroids, ElementsAre(0.7f));
  EXPECT_EQ(single.objective, 0);
}

TEST(Kmeans1d, OneClusterIsTheWeightedMean) {
  const Result result = Cluster({{1, 2, 6}, {3, 0, 1}}, 1);
  EXPECT_THAT(result.centroids, ElementsAre(2.25f));
  EXPECT_DOUBLE_EQ(result.objective, 3 * 1.25 * 1.25 + 3.75 * 3.75);
}

TEST(Kmeans1d, WeightsOfNoSensitivityGoToTheNearestCentroid) {
  const Result result = Cluster({{0, 10, 4, 6, 5, -3, 99}, {1, 1, 0, 0, 0, 0, 0}}, 2);
  EXPECT_THAT(result.centroids, ElementsAre(0, 10));
  EXPECT_THAT(result.index, ElementsAre(0, 1, 0, 1, 0, 0, 1));  // 5 is as near to both: the lower
  EXPECT_EQ(result.objective, 0);
}

TEST(Kmeans1d, WithoutAnySensitivityEveryWeightCountsTheSame) {
  Row row = test::StudentRow(100, 1, 4);
  row.sensitivity.assign(100, 0);
  const Result zeros = Cluster(row, 8);
  row.sensitivity.assign(100, 1);
  EXPECT_TRUE(zeros == Cluster(row, 8));
}

TEST(Kmeans1d, AsManyClustersAsAnIndexCanTell) {
  ExpectContract(test::StudentRow(300, 1, 5), 256, "256 clusters of 300 weights");
  ExpectContract(test::StudentRow(100, 1, 6), 256, "256 clusters of 100 weights");
}

// Powers of two change no rounding, so nothing but the scale may change.
TEST(Kmeans1d, ScalesExactly) {
  const Row row = test::StudentRow(700, 2, 7);
  const Result one = Cluster(row, 16);
  Row scaled = row;
  for (float& w : scaled.weights) w = std::ldexp(w, 20);
  for (float& s : scaled.sensitivity) s = std::ldexp(s, -60);
  const Result two = Cluster(scaled, 16);
  EXPECT_EQ(two.index, one.index);
  EXPECT_EQ(two.objective, std::ldexp(one.objective, 2 * 20 - 60));
  for (int c = 0; c < 16; ++c) EXPECT_EQ(two.centroids[c], std::ldexp(one.centroids[c], 20));
}

TEST(Kmeans1d, AWorkspaceKeepsNothingOfTheRowBefore) {
  Kmeans1dWorkspace workspace;
  for (const int64_t n : {1000, 3, 400, 1, 1500, 60}) {
    for (const int k : {16, 2, 8}) {
      const Row row = test::StudentRow(n, 1, static_cast<uint32_t>(n) * 3 + k);
      EXPECT_TRUE(Cluster(row, k, &workspace) == Cluster(row, k)) << n << ' ' << k;
    }
  }
}

TEST(Kmeans1d, NoWorseThanLloyd) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const Row row = test::StudentRow(576, seed % 3, seed);
    for (const int k : {8, 16}) {
      EXPECT_LE(Cluster(row, k).objective, test::LloydDistortion(row, k, 50) * (1 + 1e-9));
    }
  }
}

TEST(AssignNearest, OfEqualCentroidsTheLowestServes) {
  const std::vector<float> centroids = {-1, 2, 2, 2, 5, 5};
  const std::vector<float> weights = {-9, 0.5f, std::nextafter(0.5f, 1.0f), 2, 3.5f, 4, 99};
  std::vector<uint8_t> index(weights.size());
  std::vector<float> thresholds;
  AssignNearest(weights.data(), 7, centroids.data(), 6, &thresholds, index.data());
  EXPECT_THAT(index, ElementsAre(0, 0, 1, 1, 1, 4, 4));
}

}  // namespace
}  // namespace sq
