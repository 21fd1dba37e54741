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
// k-means, Groenlund et al., arXiv 1701.07204, section 3). The fee is first sought over coarse
// boundaries, where a pass costs little, then over all points: each pass gives a D of its own, and
// where the fees' lines of two such cross, a pass either finds a number between or proves that all
// numbers between cost the same. Then, as in the cited paper, the two answers are spliced into one
// of k clusters, as good as both.
//
// The result depends on `points` and k alone. Its distortion exceeds the optimum by rounding only,
// at most about 1e-15 of mass * range^2 of the row (range from the mean). Among optimal splits one
// is chosen by a fixed rule (within a pass, the lowest boundary).
//
// Cost: 1 to 3 passes, O(n log n) whatever k is.
void OptimalSegments(const WeightedPoints& points, int k, SegmentationWorkspace& workspace,
                     std::vector<int32_t>& cuts, SegmentationStats* stats = nullptr);

}  // namespace sq
