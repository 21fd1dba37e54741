// The optimal split of a sorted row into k clusters. kmeans1d.h derives centroids and indices from
// it.
#pragma once

#include <cstdint>
#include <vector>

#include "sq/quant/least_weight.h"
#include "sq/quant/weighted_points.h"

namespace sq {

struct SegmentationWorkspace {
  std::vector<double> coarse_mass, coarse_moment;
  LeastWeightWorkspace pass;
  std::vector<int32_t> cuts, fewer, more;
};

struct SegmentationStats {
  int64_t passes = 0;         // over all points
  int64_t coarse_passes = 0;  // over the coarse boundaries
  int64_t splices = 0;        // splits combined from two others (ties)
};

// Splits points into exactly k clusters, 1 <= k <= points.Count(), with the minimum weighted
// distortion of any k clusters, and writes their boundaries 0 = (*cuts)[0] < ... < (*cuts)[k] =
// Count().
//
// The minimum distortion D_k is convex in k (the cost of a cluster is Monge), so there is a fee per
// cluster for which the optimal k clusters are optimal among all numbers of clusters (Aggarwal,
// Schieber and Tokuyama 1994; for k-means, Groenlund et al., arXiv 1701.07204). The fee is searched
// over coarse boundaries first, where a pass is cheap, then over all points. Each pass yields D for
// some number of clusters. At the fee where two such splits cost the same, a pass either finds a
// number of clusters in between or proves that all in between cost the same; then, as in the first
// paper, the two splits are spliced into an equally good one of k clusters.
//
// The result depends on `points` and k only. Among optimal splits one is chosen by a fixed rule
// (within a pass, the lowest boundary). Its distortion exceeds the optimum only by rounding errors
// of about 1e-16 of the row's mass times the square of its range: 1e-15 of the optimum for rows of
// real models, 1e-12 if a few weights have 1e9 times the sensitivity of the others, 2e-4 at 1e12.
// Beyond that, doubles cannot resolve the light weights, and only the clusters of the heavy ones
// are guaranteed to be optimal.
//
// Cost: 1.0 to 1.2 passes over all points for rows of 576 to 11008 weights, and 3 passes over 8k
// coarse boundaries; O(n log n) for any k. A layer-by-layer dynamic program takes k passes.
void OptimalSegments(const WeightedPoints& points, int k, SegmentationWorkspace* workspace,
                     std::vector<int32_t>* cuts, SegmentationStats* stats = nullptr);

}  // namespace sq
