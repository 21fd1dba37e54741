#include "sq/quant/segmentation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "sq/base/error.h"

namespace sq {
namespace {

constexpr int64_t kCoarsePerCluster = 8;

int64_t Clusters(const std::vector<int32_t>& cuts) { return static_cast<int64_t>(cuts.size()) - 1; }

double TotalGain(const Boundaries& boundaries, const std::vector<int32_t>& cuts) {
  double gain = 0;
  for (size_t c = 1; c < cuts.size(); ++c) gain += boundaries.Gain(cuts[c - 1], cuts[c]);
  return gain;
}

// Makes k clusters of two splits with fewer and more. Where a cluster of `fewer` holds one of
// `more` that stands k - |fewer| places further on, `more` up to that cluster's beginning is joined
// by `fewer` from its end: by the quadrangle inequality the two splits that come of crossing over
// cost no more than the two before. If both were optimal for one fee, so is this one.
void Splice(const std::vector<int32_t>& fewer, const std::vector<int32_t>& more, int64_t k,
            std::vector<int32_t>& cuts) {
  const int64_t ahead = k - Clusters(fewer);
  int64_t at = 0;
  while (more[at + ahead + 1] > fewer[at + 1]) ++at;
  SQ_DCHECK(fewer[at] <= more[at + ahead]);
  cuts.assign(more.begin(), more.begin() + at + ahead + 1);
  cuts.insert(cuts.end(), fewer.begin() + at + 1, fewer.end());
  SQ_DCHECK(Clusters(cuts) == k);
}

// Finds the best k clusters, 1 < k < boundaries.count, starting from a guess of the fee; returns
// the fee at which they were found. second_moment: the distortion of one cluster, thus the gain of
// one for each point (over coarse boundaries a little more than that, which does no harm there).
double Search(const Boundaries& boundaries, int64_t k, double second_moment, double fee,
              SegmentationWorkspace& workspace, int64_t& passes, int64_t& splices) {
  std::vector<int32_t>& cuts = workspace.cuts;
  // Two splits that enclose k, and the fees above and below which others were not found; at first
  // one cluster and one for each point (not written out unless it comes to splicing).
  std::vector<int32_t>& fewer = workspace.fewer;
  std::vector<int32_t>& more = workspace.more;
  fewer = {0, static_cast<int32_t>(boundaries.count)};
  int64_t clusters_fewer = 1, clusters_more = boundaries.count;
  double gain_fewer = 0, gain_more = second_moment;
  double fee_fewer = second_moment, fee_more = 0;
  for (;;) {
    // Where the fees' lines of the two splits cross, a pass finds a split between or there is none.
    const bool at_crossing = !(fee > fee_more && fee < fee_fewer);
    if (at_crossing) {
      fee = (gain_more - gain_fewer) / static_cast<double>(clusters_more - clusters_fewer);
    }
    LeastWeightPass(boundaries, fee, workspace.pass, cuts);
    ++passes;
    const int64_t found = Clusters(cuts);
    if (found == k) return fee;
    const bool progress = found > clusters_fewer && found < clusters_more;
    if (at_crossing && !progress) break;
    if (found < k) {
      fee_fewer = fee;
      if (progress) {
        fewer.swap(cuts);
        clusters_fewer = found;
        gain_fewer = TotalGain(boundaries, fewer);
      }
    } else {
      fee_more = fee;
      if (progress) {
        more.swap(cuts);
        clusters_more = found;
        gain_more = TotalGain(boundaries, more);
      }
    }
    // The distortion falls about as 1 / clusters^2, so its steps, between which the fee lies, as
    // 1 / clusters^3. Where that has not helped, or k is enclosed closely, the crossing is safe.
    const double ratio = static_cast<double>(found) / static_cast<double>(k);
    const bool close = clusters_more - clusters_fewer <= 3;
    fee = progress && !close ? fee * ratio * ratio * ratio : -1;
  }
  // Both splits are the best for this fee, and no number of clusters between does better: a tie.
  if (clusters_more == boundaries.count) {
    more.resize(boundaries.count + 1);
    std::iota(more.begin(), more.end(), 0);
  }
  Splice(fewer, more, k, cuts);
  ++splices;
  return fee;
}

// At most `coarse` runs of points, at equal steps of rank plus value: between boundaries equally
// many points apart the sparse tails, whose clusters are short, would go unseen. So placed, 8
// boundaries a cluster tell the fee to within 1 %, by rank alone 13 to 19 %; a fee that gives k
// lies in a range of 20 % (k = 16) to 50 % (k = 8).
Boundaries CoarseBoundaries(const WeightedPoints& points, int64_t coarse,
                            SegmentationWorkspace& workspace) {
  const int64_t count = points.Count();
  workspace.coarse_mass.assign(1, 0);
  workspace.coarse_moment.assign(1, 0);
  const double first = points.value.front();
  const double half = 0.5 * static_cast<double>(coarse);
  const double per_rank = half / static_cast<double>(count);
  const double per_value = half / (points.value.back() - first);
  double next = 1;
  for (int64_t i = 1; i < count; ++i) {
    const double at = static_cast<double>(i) * per_rank + (points.value[i] - first) * per_value;
    if (at < next) continue;
    workspace.coarse_mass.push_back(points.mass_to[i]);
    workspace.coarse_moment.push_back(points.moment_to[i]);
    next = std::floor(at) + 1;
  }
  workspace.coarse_mass.push_back(points.mass_to[count]);
  workspace.coarse_moment.push_back(points.moment_to[count]);
  return {workspace.coarse_mass.data(), workspace.coarse_moment.data(),
          static_cast<int64_t>(workspace.coarse_mass.size()) - 1};
}

}  // namespace

void OptimalSegments(const WeightedPoints& points, int k, SegmentationWorkspace& workspace,
                     std::vector<int32_t>& cuts, SegmentationStats* stats) {
  const int64_t count = points.Count();
  SQ_DCHECK(k >= 1 && k <= count);
  if (k == 1 || k == count) {
    cuts.resize(k + 1);
    for (int c = 0; c <= k; ++c) cuts[c] = static_cast<int32_t>(k == 1 ? c * count : c);
    return;
  }
  SegmentationStats local;
  // What k clusters of a uniform density would ask.
  double fee = 2 * points.second_moment / (static_cast<double>(k) * k * k);
  const int64_t coarse = kCoarsePerCluster * k;
  if (count >= 2 * coarse) {
    const Boundaries sample = CoarseBoundaries(points, coarse, workspace);
    if (sample.count > k) {
      int64_t coarse_splices = 0;
      fee = Search(sample, k, points.second_moment, fee, workspace, local.coarse_passes,
                   coarse_splices);
    }
  }
  const Boundaries all{points.mass_to.data(), points.moment_to.data(), count};
  Search(all, k, points.second_moment, fee, workspace, local.passes, local.splices);
  cuts = workspace.cuts;
  if (stats != nullptr) {
    stats->passes += local.passes;
    stats->coarse_passes += local.coarse_passes;
    stats->splices += local.splices;
  }
}

}  // namespace sq
