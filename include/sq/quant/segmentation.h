// The best k clusters of a sorted row, exactly: which points each one holds. kmeans1d.h turns them
// into centroids and indices.
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
  int64_t splices = 0;        // answers made of two others (ties)
};

// Splits points into exactly k clusters, 1 <= k <= points.Count(), of the least weighted distortion
// that any k clusters have, and writes their boundaries 0 = cuts[0] < ... < cuts[k] = Count().
//
// The least distortion D_k is convex in k (the cost of a cluster is Monge), so some fee a cluster
// makes the best k clusters the best of any number (Aggarwal, Schieber and Tokuyama 1994; for
// k-means, Groenlund et al., arXiv 1701.07204). The fee is first sought over coarse boundaries,
// where a pass costs little, then over all points: each pass gives a D of its own, and where the
// fees' lines of two such cross, a pass either finds a number between or proves that all between
// cost the same. Then, as in the first paper, the two answers are spliced into one of k clusters,
// as good as both.
//
// The result depends on `points` and k alone. Among optimal splits one is chosen by a fixed rule
// (within a pass, the lowest boundary). Its distortion exceeds the optimum by rounding only, about
// 1e-16 of the row's mass times the square of its range: 1e-15 of the optimum for rows of real
// models, 1e-12 where few weights have 1e9 times the sensitivity of the others, 2e-4 at 1e12.
// Beyond that, doubles no longer tell the light weights apart, and only the heavy ones are sure of
// their best place.
//
// Cost: 1.0 to 1.2 passes on rows of 576 to 11008 weights and 3 over 8k coarse boundaries, O(n log
// n) whatever k is. A layered dynamic programme takes k passes.
void OptimalSegments(const WeightedPoints& points, int k, SegmentationWorkspace& workspace,
                     std::vector<int32_t>& cuts, SegmentationStats* stats = nullptr);

}  // namespace sq
