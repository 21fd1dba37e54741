// Weighted k-means of one row, to the global optimum: what scikit-learn approximates in the
// original (SqueezeLLM, nuq.py). Lloyd's iteration is not needed anywhere: in one dimension the
// exact answer takes less time.
#pragma once

#include <cstdint>
#include <vector>

#include "sq/quant/segmentation.h"
#include "sq/quant/weighted_points.h"

namespace sq {

constexpr int kMaxClusters = 256;

// Buffers of one caller; they keep their size from row to row. Not to be shared between threads.
struct Kmeans1dWorkspace {
  WeightedPoints points;
  SegmentationWorkspace segmentation;
  std::vector<int32_t> cuts;
  std::vector<float> steps;
  SegmentationStats stats;  // summed over the calls
};

// Finds centroids c and indices that minimise  sum over i of sensitivity[i] * (weights[i] - c)^2.
//
//   weights [n]      finite; n >= 1
//   sensitivity [n]  finite, not negative. Weights of sensitivity 0 take no part; if all are 0,
//   every
//                    weight counts 1
//   k                1 .. 256
//   centroids [k]    ascending, finite. The optimum's cluster means, rounded to fp32. With fewer
//                    different weights than k (those of sensitivity 0 left out) each has a centroid
//                    of its own, and the spare ones at the end repeat the largest
//   index [n]        the nearest of the stored (rounded) centroids, the lower one when two are
//   equally
//                    near; for weights of sensitivity 0 too
//
// Returns the objective of what it stored: fp32 centroids and these indices, summed in double in
// the order of the row. The same input gives the same bytes on every machine with IEEE arithmetic.
// Method, guarantee and cost: segmentation.h and weighted_points.h.
double Kmeans1d(const float* weights, const float* sensitivity, int64_t n, int k,
                Kmeans1dWorkspace& workspace, float* centroids, uint8_t* index);

// index[i] = the nearest of `count` ascending centroids, the lower of two equally near ones.
// steps: scratch.
void AssignNearest(const float* weights, int64_t n, const float* centroids, int count,
                   std::vector<float>& steps, uint8_t* index);

}  // namespace sq
