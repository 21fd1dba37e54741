// Weighted 1-D k-means said the plain way, and rows to try it on. Nothing here is fast.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "sq/base/half.h"

namespace sq::test {

struct Row {
  std::vector<float> weights;
  std::vector<float> sensitivity;

  int64_t Size() const { return static_cast<int64_t>(weights.size()); }
};

// Student-t(8) weights as a checkpoint in fp16 holds them, lognormal(sigma) sensitivities.
inline Row StudentRow(int64_t n, double sigma, uint32_t seed) {
  std::mt19937 random(seed);
  std::student_t_distribution<double> weight(8);
  std::normal_distribution<double> normal;
  Row row;
  for (int64_t i = 0; i < n; ++i) {
    row.weights.push_back(Fp16ToFloat(FloatToFp16(static_cast<float>(0.02 * weight(random)))));
    row.sensitivity.push_back(static_cast<float>(1e-6 * std::exp(sigma * normal(random))));
  }
  return row;
}

// A row's different weights, ascending, with the sensitivities of equal ones added up; those of
// sensitivity 0 left out, unless all are: then each counts 1.
struct ReferencePoints {
  std::vector<long double> value, mass;

  explicit ReferencePoints(const Row& row) {
    const bool uniform =
        std::all_of(row.sensitivity.begin(), row.sensitivity.end(), [](float s) { return s == 0; });
    std::map<float, long double> sums;
    for (size_t i = 0; i < row.weights.size(); ++i) {
      if (uniform || row.sensitivity[i] > 0) {
        sums[row.weights[i]] += uniform ? 1 : row.sensitivity[i];
      }
    }
    for (const auto& [v, m] : sums) {
      value.push_back(v);
      mass.push_back(m);
    }
  }

  int64_t Count() const { return static_cast<int64_t>(value.size()); }

  // Distortion of points [begin, end) about their mean, two passes, no cancellation.
  long double Cost(int64_t begin, int64_t end) const {
    long double sum = 0, moment = 0;
    for (int64_t i = begin; i < end; ++i) {
      sum += mass[i];
      moment += mass[i] * (value[i] - value[begin]);
    }
    const long double mean = value[begin] + moment / sum;
    long double cost = 0;
    for (int64_t i = begin; i < end; ++i) cost += mass[i] * (value[i] - mean) * (value[i] - mean);
    return cost;
  }

  long double Cost(const std::vector<int32_t>& cuts) const {
    long double cost = 0;
    for (size_t c = 1; c < cuts.size(); ++c) cost += Cost(cuts[c - 1], cuts[c]);
    return cost;
  }
};

// The least distortion of 1 .. most clusters: result[k], by the plain O(most * n^2) dynamic
// programme in long double. Costs of segments by Welford's updates, each a sum of positive terms.
inline std::vector<long double> LeastDistortions(const ReferencePoints& points, int64_t most) {
  const int64_t n = points.Count();
  std::vector<long double> cost((n + 1) * (n + 1), 0);  // [begin][end]
  for (int64_t begin = 0; begin < n; ++begin) {
    long double mass = 0, mean = 0, sum = 0;
    for (int64_t i = begin; i < n; ++i) {
      const long double distance = points.value[i] - mean;
      mass += points.mass[i];
      mean += points.mass[i] / mass * distance;
      sum += points.mass[i] * distance * (points.value[i] - mean);
      cost[begin * (n + 1) + i + 1] = sum;
    }
  }
  const long double infinity = std::numeric_limits<long double>::infinity();
  std::vector<long double> before(n + 1, infinity), least(most + 1, infinity);
  before[0] = 0;
  for (int64_t k = 1; k <= most; ++k) {
    std::vector<long double> now(n + 1, infinity);
    for (int64_t end = k; end <= n; ++end) {
      for (int64_t begin = k - 1; begin < end; ++begin) {
        now[end] = std::min(now[end], before[begin] + cost[begin * (n + 1) + end]);
      }
    }
    least[k] = now[n];
    before.swap(now);
  }
  return least;
}

// The least distortion over all ways to cut the points into k runs, one after the other.
inline long double BruteForceDistortion(const ReferencePoints& points, int64_t k) {
  long double least = std::numeric_limits<long double>::infinity();
  const std::function<void(int64_t, int64_t, long double)> cut = [&](int64_t begin, int64_t left,
                                                                     long double cost) {
    if (left == 1) {
      least = std::min(least, cost + points.Cost(begin, points.Count()));
      return;
    }
    for (int64_t end = begin + 1; end + left - 1 <= points.Count(); ++end) {
      cut(end, left - 1, cost + points.Cost(begin, end));
    }
  };
  cut(0, k, 0);
  return least;
}

// Lloyd's iteration from quantiles: what an inexact method finds.
inline double LloydDistortion(const Row& row, int k, int iterations) {
  std::vector<float> sorted = row.weights;
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> centroids(k);
  for (int c = 0; c < k; ++c) centroids[c] = sorted[(2 * c + 1) * sorted.size() / (2 * k)];
  double distortion = 0;
  for (int iteration = 0; iteration <= iterations; ++iteration) {
    std::vector<double> mass(k), moment(k);
    distortion = 0;
    for (size_t i = 0; i < row.weights.size(); ++i) {
      int nearest = 0;
      for (int c = 1; c < k; ++c) {
        if (std::fabs(row.weights[i] - centroids[c]) <
            std::fabs(row.weights[i] - centroids[nearest])) {
          nearest = c;
        }
      }
      const double error = row.weights[i] - centroids[nearest];
      distortion += row.sensitivity[i] * error * error;
      mass[nearest] += row.sensitivity[i];
      moment[nearest] += row.sensitivity[i] * static_cast<double>(row.weights[i]);
    }
    for (int c = 0; c < k; ++c) {
      if (mass[c] > 0) centroids[c] = moment[c] / mass[c];
    }
  }
  return distortion;
}

}  // namespace sq::test
