// Globally optimal weighted k-means of one row. The original (SqueezeLLM, nuq.py) uses
// scikit-learn's k-means, which finds local optima by Lloyd's iteration; in one dimension the exact
// solution is faster.
#pragma once

#include <cstdint>
#include <vector>

#include "sq/quant/segmentation.h"
#include "sq/quant/weighted_points.h"

namespace sq {

constexpr int kMaxClusters = 256;

// Buffers that are reused from row to row. Not to be shared between threads.
struct Kmeans1dWorkspace {
  WeightedPoints points;
  SegmentationWorkspace segmentation;
  std::vector<int32_t> cuts;
  std::vector<float> thresholds;
  SegmentationStats stats;  // summed over the calls
};

// Finds centroids c and indices that minimise  sum over i of sensitivity[i] * (weights[i] - c)^2.
//
// - weights [n]: finite; n >= 1.
// - sensitivity [n]: finite, not negative. Weights of sensitivity 0 are ignored; if all are 0,
//   every weight counts 1.
// - k: 1 .. 256.
// - centroids [k]: ascending, finite; the means of the optimal clusters, rounded to fp32. If there
//   are fewer than k distinct weights (ignoring those of sensitivity 0), each of them is a centroid
//   and the remaining centroids repeat the largest.
// - index [n]: the nearest of the rounded centroids, the lower one of two equally near; also for
//   weights of sensitivity 0.
//
// Returns the objective for the rounded centroids and these indices, summed in double in the order
// of the row. The same input gives the same bytes on every machine with IEEE arithmetic. Method,
// guarantee and cost: segmentation.h and weighted_points.h.
double Kmeans1d(const float* weights, const float* sensitivity, int64_t n, int k,
                Kmeans1dWorkspace* workspace, float* centroids, uint8_t* index);

// index[i] = the nearest of `count` ascending centroids, the lower one of two equally near.
// thresholds: scratch.
void AssignNearest(const float* weights, int64_t n, const float* centroids, int count,
                   std::vector<float>* thresholds, uint8_t* index);

}  // namespace sq
