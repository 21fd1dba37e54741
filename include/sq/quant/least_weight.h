// One pass over a sorted row that finds the best clusters when each costs a fee: the inner loop of
// the exact k-means. segmentation.h chooses the fee.
#pragma once

#include <cstdint>
#include <vector>

namespace sq {

// Prefix sums at the places where a cluster may begin or end, ascending; entry 0 is the row's
// beginning and the last one its end. A cluster from boundary i to boundary j gains
//   (moment[j] - moment[i])^2 / (mass[j] - mass[i])
// over one cluster for the whole row: what its points' distortion about the row's mean exceeds that
// about their own. The row's second moment less all gains is the distortion.
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
  std::vector<double> best;   // [count + 1], gain less fees of the best clusters that end at j
  std::vector<int32_t> from;  // [count + 1], where the last of those begins
};

// Splits the row so that the sum of gains less `fee` per cluster is largest, the number of clusters
// free, and writes the boundaries 0 = cuts[0] < ... < cuts.back() = count. Of equally good
// beginnings of a cluster the lowest is taken.
//
// The gain satisfies the inverse quadrangle inequality, so from[j] never falls with j: a
// least-weight-subsequence problem (Wilber 1988; Galil and Park 1990). Rather than their queues of
// candidates, whose branches cost more than the divisions, it goes block by block: `from` of the
// block's last column bounds all others, which halving then narrows down, and one scan tells
// whether a candidate inside the block would have changed anything. Blocks are shorter than the
// cluster before them, so this is rare, and costs the block's work once more. About 14 gains a
// point on real rows, 20 ns; O(n log n) while clusters differ little in length.
//
// The order of evaluation is fixed. Rounding can make candidates change places only where they are
// equal within it; another order of blocks could then choose another of two equally good splits.
void LeastWeightPass(const Boundaries& boundaries, double fee, LeastWeightWorkspace& workspace,
                     std::vector<int32_t>& cuts);

}  // namespace sq
