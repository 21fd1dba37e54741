// One pass over a sorted row that finds the optimal clusters when each cluster costs a fixed fee:
// the inner loop of the exact k-means. segmentation.h chooses the fee.
#pragma once

#include <cstdint>
#include <vector>

namespace sq {

// Prefix sums at the positions where a cluster may begin or end, ascending; entry 0 is the start of
// the row and the last entry its end. The gain of a cluster from boundary i to boundary j is
//   (moment[j] - moment[i])^2 / (mass[j] - mass[i])
// the amount by which the distortion of its points about the mean of the row exceeds that about
// their own mean. The distortion of a split is the second moment of the row minus the gains of its
// clusters.
struct Boundaries {
  const double* mass;    // [count + 1], strictly ascending
  const double* moment;  // [count + 1]
  int64_t count;         // number of points (or runs of points) between the boundaries

  double Gain(int64_t begin, int64_t end) const {
    const double moved = moment[end] - moment[begin];
    return moved * moved / (mass[end] - mass[begin]);
  }
};

struct LeastWeightWorkspace {
  std::vector<double> best;   // [count + 1], gain minus fees of the best clusters that end at j
  std::vector<int32_t> from;  // [count + 1], where the last of those clusters begins
};

// Splits the row into any number of clusters such that the sum of their gains minus `fee` per
// cluster is maximal, and writes the boundaries 0 = (*cuts)[0] < ... < cuts->back() = count. Of
// equally good starts of a cluster, the lowest is chosen.
//
// The gain satisfies the inverse quadrangle inequality, so from[j] never decreases with j: a
// least-weight subsequence problem (Wilber 1988; Galil and Park 1990). The queues of candidates of
// those algorithms are not used, since their branches cost more than the divisions. Instead the
// pass proceeds block by block: `from` of the block's last column bounds those of all other
// columns, which are found by bisection, and one scan checks whether a candidate inside the block
// would have changed anything. Blocks are shorter than the cluster before them, so that this is
// rare; then the pass continues from that candidate with smaller blocks. About 14 gain evaluations
// per point on real rows (20 ns); O(n log n) if the lengths of clusters do not vary much.
//
// The order of evaluation is fixed. Rounding affects only candidates that are equal up to rounding
// errors; with another order of blocks, the other of two equally good splits could be chosen.
void LeastWeightPass(const Boundaries& boundaries, double fee, LeastWeightWorkspace* workspace,
                     std::vector<int32_t>* cuts);

}  // namespace sq
