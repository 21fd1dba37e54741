// One row prepared for k-means: its distinct weights in ascending order, the total sensitivity of
// each, and prefix sums from which the gain of any cluster is one division. Sorting and merging
// happen here; segmentation.h chooses the clusters.
#pragma once

#include <cstdint>
#include <vector>

namespace sq {

// Buffers keep their capacity from row to row.
struct WeightedPoints {
  std::vector<double> value;    // [count], strictly ascending
  std::vector<double> mass;     // [count], sensitivity summed over equal weights, > 0
  std::vector<double> mass_to;  // [count + 1], mass_to[j] = sum of mass[0 .. j), strictly ascending
  // [count + 1], sum of mass * (value - mean) over the first j points. Subtracting the weighted
  // mean keeps the sums small relative to the differences taken of them.
  std::vector<double> moment_to;
  double mean = 0;           // weighted
  double second_moment = 0;  // sum of mass * (value - mean)^2: the distortion of one cluster

  std::vector<uint64_t> words, spare_words;  // scratch of the sort: key, then sensitivity

  int64_t Count() const { return static_cast<int64_t>(value.size()); }
};

// Fills *points from a row of n >= 1 finite weights and as many finite, non-negative sensitivities.
// Weights of sensitivity zero are left out; if no sensitivity is positive, every weight counts 1.
// -0 and +0 are the same value. A point too light to change the running sum of masses (below 2^-53
// of it) is merged into the next point.
//
// The order of summation depends only on the row: ascending weight, then ascending position. No
// scaling is needed: squares of products of two fp32 numbers are far inside the range of double.
//
// Cost: O(n): a least-significant-digit radix sort over the key bits in which the weights differ: 2
// passes for weights converted from fp16 or bf16, 3 for others.
void BuildWeightedPoints(const float* weights, const float* sensitivity, int64_t n,
                         WeightedPoints* points);

}  // namespace sq
