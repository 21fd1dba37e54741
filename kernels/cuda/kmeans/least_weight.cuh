// The least-weight pass by a warp: src/quant/least_weight.cc, block for block and candidate for
// candidate, so that it decides as that does. What the CPU scans, lanes share out; of equal
// candidates the lowest is kept, by a lane and between lanes.
#pragma once

#include "kernels/cuda/warp.cuh"

namespace sq::cuda {

constexpr int kLargestBlock = 256;
constexpr int kBlocksPerCluster = 2;

// One row's pass: sums up to each boundary [count + 1], and what the pass finds out of them.
struct Pass {
  const double* mass;
  const double* moment;
  double* best;   // gain less fees of the best clusters that end at a boundary
  int32_t* from;  // where the last of those begins
  int count;
  double fee;

  // Gain less fees of the best clusters up to `begin` and one more from there.
  __device__ double Value(int begin, double mass_end, double moment_end) const {
    const double moved = moment_end - moment[begin];
    return best[begin] + moved * moved / (mass_end - mass[begin]);
  }

  // Settles column `end` with the beginnings low .. high, by each `group` of lanes (a power of two)
  // one column. All lanes come; those without a column pass active = false.
  __device__ void Scan(bool active, int end, int low, int high, int group) const {
    const int member = Lane() & (group - 1);
    double most = -INFINITY;
    int at = 0x7fffffff;
    if (active) {
      const double mass_end = mass[end], moment_end = moment[end];
      for (int begin = low + member; begin <= high; begin += group) {
        const double value = Value(begin, mass_end, moment_end);
        if (value > most) {
          most = value;
          at = begin;
        }
      }
    }
    for (int step = group / 2; step > 0; step /= 2) {
      const double other = __shfl_xor_sync(kWholeWarp, most, step);
      const int other_at = __shfl_xor_sync(kWholeWarp, at, step);
      if (other > most || (other == most && other_at < at)) {
        most = other;
        at = other_at;
      }
    }
    if (active && member == 0) {
      best[end] = most - fee;
      from[end] = at;
    }
  }
};

// Settles the columns behind `last` up to block_end (at most `block` of them, a power of two) for
// the beginnings up to `last`; returns the last column at which no later beginning is better.
__device__ inline int Advance(const Pass& pass, int last, int block_end, int block) {
  for (int stride = block; stride > 0; stride /= 2) {
    const bool bounds = stride == block;  // the last column, whose beginning bounds the others'
    const int columns = bounds ? 1 : block / (2 * stride);
    const int group = columns < kLanes ? kLanes / columns : 1;
    for (int first = 0; first < columns; first += kLanes / group) {
      const int end = bounds ? block_end : last + stride + 2 * stride * (first + Lane() / group);
      const bool active = bounds || end < block_end;
      int low = pass.from[last], high = last;
      if (active && !bounds) {
        low = pass.from[end - stride];
        high = pass.from[min(end + stride, block_end)];
      }
      pass.Scan(active, end, low, high, group);
    }
    __syncwarp();
  }
  // A beginning inside the block that is no better than those before it at the block's last column
  // is no better at any: later beginnings only gain as the end moves on.
  const double mass_end = pass.mass[block_end], moment_end = pass.moment[block_end];
  for (int first = last + 1; first < block_end; first += kLanes) {
    const int begin = first + Lane();
    const bool better = begin < block_end &&
                        pass.Value(begin, mass_end, moment_end) - pass.fee > pass.best[block_end];
    const uint32_t any = __ballot_sync(kWholeWarp, better);
    if (any != 0) return first + __ffs(static_cast<int>(any)) - 1;
  }
  return block_end;
}

// A power of two well below the length of the cluster that ends here.
__device__ inline int BlockSize(int cluster, int limit) {
  int block = 1;
  while (block < limit && 2 * kBlocksPerCluster * block <= cluster) block *= 2;
  return block;
}

// The whole pass. Writes the boundaries of the clusters to ends, the last one first: count =
// ends[0] > ... > ends[clusters] = 0; returns how many clusters.
__device__ inline int LeastWeightPass(const Pass& pass, int32_t* ends) {
  if (Lane() == 0) {
    pass.best[0] = 0;
    pass.from[0] = 0;
  }
  __syncwarp();
  int limit = kLargestBlock;
  for (int last = 0; last < pass.count;) {
    const int block = BlockSize(last - pass.from[last], limit);
    const int block_end = min(last + block, pass.count);
    const int settled = Advance(pass, last, block_end, block);
    limit = settled < block_end ? max(1, block / 2) : kLargestBlock;
    last = settled;
  }
  int clusters = 0;
  for (int end = pass.count; end > 0; end = pass.from[end]) {
    if (Lane() == 0) ends[clusters] = end;
    ++clusters;
  }
  if (Lane() == 0) ends[clusters] = 0;
  __syncwarp();
  return clusters;
}

}  // namespace sq::cuda
