// From a row's weighted points to its centroids, a warp a row: the fee search of
// src/quant/segmentation.cc and the means of src/quant/kmeans1d.cc, operation by operation. All
// lanes go the same way. Compiled without contraction to fused multiply-adds
// (kernels/CMakeLists.txt).
#include <algorithm>

#include "kernels/cuda/kmeans/kmeans.h"
#include "kernels/cuda/kmeans/least_weight.cuh"
#include "sq/kernels/cuda_kmeans.h"

namespace sq::cuda {
namespace {

constexpr int kRowsPerBlock = 4;
constexpr int kMaxClusters = kCudaMaxClusters;
constexpr int kCoarsePerCluster = 8;
// Rounding can add one run to kCoarsePerCluster a cluster.
constexpr int kMaxCoarse = kCoarsePerCluster * kMaxClusters + 1;

// Boundaries of clusters, the last one first; from null, a cluster for each point.
struct Split {
  int32_t* ends;
  int clusters;
  __device__ int Cut(int c) const { return ends == nullptr ? c : ends[clusters - c]; }
};

__device__ double TotalGain(const Pass& pass, const Split& split) {
  double gain = 0;
  int begin = 0;
#pragma unroll 1
  for (int c = 1; c <= split.clusters; ++c) {
    const int end = split.Cut(c);
    const double moved = pass.moment[end] - pass.moment[begin];
    gain += moved * moved / (pass.mass[end] - pass.mass[begin]);
    begin = end;
  }
  return gain;
}

// `more` up to the beginning of a cluster of `fewer` that holds one of its own, then `fewer`: k
// clusters.
__device__ void Splice(const Split& fewer, const Split& more, int k, int32_t* ends) {
  const int ahead = k - fewer.clusters;
  int at = 0;
#pragma unroll 1
  while (more.Cut(at + ahead + 1) > fewer.Cut(at + 1)) ++at;
#pragma unroll 1
  for (int c = Lane(); c <= k; c += kLanes) {
    ends[k - c] = c <= at + ahead ? more.Cut(c) : fewer.Cut(c - ahead);
  }
  __syncwarp();
}

// The two splits that enclose k, and the fees above and below which others were not found. In
// shared memory, where it takes no registers from the passes; lane 0 writes.
struct Bracket {
  Split fewer, more;
  double gain_fewer, gain_more, fee_fewer, fee_more;
  int32_t* ends;   // of the last pass
  int32_t* spare;  // more's, once it has any
};

__device__ void Swap(int32_t** a, int32_t** b) {
  int32_t* const held = *a;
  *a = *b;
  *b = held;
}

// Puts the last pass's split, of `found` clusters, in the place of one that encloses k.
__device__ void Narrow(Bracket& bracket, bool replaces_fewer, int found, double gain) {
  if (replaces_fewer) {
    Swap(&bracket.fewer.ends, &bracket.ends);
    bracket.fewer.clusters = found;
    bracket.gain_fewer = gain;
  } else {
    if (bracket.more.ends == nullptr) bracket.more.ends = bracket.spare;
    Swap(&bracket.more.ends, &bracket.ends);
    bracket.more.clusters = found;
    bracket.gain_more = gain;
  }
}

// The best k clusters, 1 < k < count, from a guess of the fee: leaves their boundaries in
// bracket.ends and returns the fee. buffers: three of count + 1.
__device__ double Search(Pass pass, int k, double second_moment, double fee, int32_t* buffers,
                         int64_t buffer_stride, Bracket& bracket) {
  if (Lane() == 0) {
    int32_t* const one = buffers + buffer_stride;
    one[0] = pass.count;
    one[1] = 0;
    bracket = {{one, 1}, {nullptr, pass.count},      0, second_moment, second_moment, 0,
               buffers,  buffers + 2 * buffer_stride};
  }
  __syncwarp();
  for (;;) {
    const bool at_crossing = !(fee > bracket.fee_more && fee < bracket.fee_fewer);
    if (at_crossing) {
      fee = (bracket.gain_more - bracket.gain_fewer) /
            static_cast<double>(bracket.more.clusters - bracket.fewer.clusters);
    }
    pass.fee = fee;
    const int found = LeastWeightPass(pass, bracket.ends);
    if (found == k) return fee;
    const bool progress = found > bracket.fewer.clusters && found < bracket.more.clusters;
    if (at_crossing && !progress) break;
    const double gain = progress ? TotalGain(pass, {bracket.ends, found}) : 0;
    __syncwarp();
    if (Lane() == 0) {
      (found < k ? bracket.fee_fewer : bracket.fee_more) = fee;
      if (progress) Narrow(bracket, found < k, found, gain);
    }
    __syncwarp();
    const double ratio = static_cast<double>(found) / static_cast<double>(k);
    const bool close = bracket.more.clusters - bracket.fewer.clusters <= 3;
    fee = progress && !close ? fee * ratio * ratio * ratio : -1;
  }
  Splice(bracket.fewer, bracket.more, k, bracket.ends);
  return fee;
}

// A row's scratch in shared memory.
struct Scratch {
  double mass[kMaxCoarse + 1], moment[kMaxCoarse + 1], best[kMaxCoarse + 1];
  int32_t from[kMaxCoarse + 1];
  double slots[2][kLanes];
  float centroids[kMaxClusters];
  Bracket bracket;
};

// Boundaries where rank plus value passes a whole number; returns the number of runs. The CPU looks
// for the first point at or beyond the next number; as the points ascend, and each operation on
// them rounds without changing their order, that is where the whole part differs from the point
// before.
__device__ int CoarseBoundaries(const double* value, const double* mass_to, const double* moment_to,
                                int count, int coarse, Scratch& scratch) {
  const double first = value[0];
  const double half = 0.5 * static_cast<double>(coarse);
  const double per_rank = half / static_cast<double>(count);
  const double per_value = half / (value[count - 1] - first);
  const auto whole = [&](int i) {
    return floor(static_cast<double>(i) * per_rank + (value[i] - first) * per_value);
  };
  int runs = 0;
#pragma unroll 1
  for (int base = 1; base < count; base += kLanes) {
    const int i = base + Lane();
    const bool passes = i < count && whole(i) > whole(i - 1);
    const uint32_t all = __ballot_sync(kWholeWarp, passes);
    if (passes) {
      const int place = runs + 1 + __popc(all & ((1u << Lane()) - 1));
      scratch.mass[place] = mass_to[i];
      scratch.moment[place] = moment_to[i];
    }
    runs += __popc(all);
  }
  ++runs;
  if (Lane() == 0) {
    scratch.mass[0] = scratch.moment[0] = 0;
    scratch.mass[runs] = mass_to[count];
    scratch.moment[runs] = moment_to[count];
  }
  __syncwarp();
  return runs;
}

// Boundaries of the best k clusters, 1 <= k <= count, the last one first.
__device__ const int32_t* OptimalSegments(const KmeansBatch& batch, int64_t row, int k,
                                          Scratch& scratch) {
  const int64_t at = row * batch.stride;
  const int count = batch.count[row];
  int32_t* cuts = batch.cuts + 3 * at;
  if (k == 1 || k == count) {
#pragma unroll 1
    for (int c = Lane(); c <= k; c += kLanes) cuts[c] = k == 1 ? (c == 0 ? count : 0) : count - c;
    __syncwarp();
    return cuts;
  }
  const double second_moment = batch.second_moment[row];
  const Pass all{
      batch.mass_to + at, batch.moment_to + at, batch.best + at, batch.from + at, count, 0};
  const int coarse = kCoarsePerCluster * k;
  int runs = 0;
  if (count >= 2 * coarse) {
    runs = CoarseBoundaries(batch.value + at, all.mass, all.moment, count, coarse, scratch);
  }
  const Pass sample{scratch.mass, scratch.moment, scratch.best, scratch.from, runs, 0};
  double fee = 2 * second_moment / (static_cast<double>(k) * k * k);
  // One call, so that it is compiled once and in place.
  for (bool sampled = runs > k;; sampled = false) {
    fee =
        Search(sampled ? sample : all, k, second_moment, fee, cuts, batch.stride, scratch.bracket);
    if (!sampled) return scratch.bracket.ends;
  }
}

// The mean of points [begin, end), taken from the first so that a single point gives itself.
__device__ float Centroid(const double* value, const double* mass, int begin, int end,
                          Scratch& scratch) {
  const double first = value[begin];
  double sum = 0, moment = 0;
  for (int base = begin; base < end; base += kLanes) {
    const int i = base + Lane();
    if (i < end) {
      scratch.slots[0][Lane()] = mass[i];
      scratch.slots[1][Lane()] = mass[i] * (value[i] - first);
    }
    __syncwarp();
    const int here = min(kLanes, end - base);
    for (int l = 0; l < here; ++l) {
      sum += scratch.slots[0][l];
      moment += scratch.slots[1][l];
    }
    __syncwarp();
  }
  return static_cast<float>(first + moment / sum);
}

// The largest float from which the lower of two neighbouring centroids is at most as far as the
// upper one.
__device__ float Step(float lower, float upper) {
  const double middle = 0.5 * (static_cast<double>(lower) + upper);
  const float rounded = static_cast<float>(middle);
  return rounded <= middle ? rounded : nextafterf(rounded, -INFINITY);
}

// Six blocks: 80 registers a thread, of which all are wanted.
__global__ void __launch_bounds__(kRowsPerBlock* kLanes, 6) CentroidsKernel(KmeansBatch batch) {
  __shared__ Scratch all_scratch[kRowsPerBlock];
  const int warp = WarpOfBlock();
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsPerBlock + warp;
  if (row >= batch.rows) return;
  Scratch& scratch = all_scratch[warp];
  const int k = batch.k, clusters = min(k, batch.count[row]);
  const int32_t* ends = OptimalSegments(batch, row, clusters, scratch);
  for (int c = 0; c < clusters; ++c) {
    const float centroid =
        Centroid(batch.value + row * batch.stride, batch.mass + row * batch.stride,
                 ends[clusters - c], ends[clusters - c - 1], scratch);
    if (Lane() == 0) scratch.centroids[c] = centroid;
  }
  __syncwarp();
  if (Lane() != 0) return;
  float* centroids = batch.centroids + row * k;
  float* steps = batch.steps + row * k;
  // Of equal centroids the lowest serves: the steps to the others wait for the next larger one.
  float next = INFINITY;
  for (int c = k - 1; c >= 0; --c) {
    const float upper = scratch.centroids[min(c + 1, clusters - 1)];
    const float own = scratch.centroids[min(c, clusters - 1)];
    if (own < upper) next = Step(own, upper);
    centroids[c] = own;
    steps[c] = next;
  }
}

// ---------------------------------------------------------------- assignment, a block a row
constexpr int kAssignThreads = 256;

__global__ void __launch_bounds__(kAssignThreads) AssignKernel(KmeansBatch batch) {
  __shared__ float steps[kMaxClusters];
  const int64_t row = blockIdx.x;
  if (threadIdx.x < static_cast<unsigned>(batch.k)) {
    steps[threadIdx.x] = batch.steps[row * batch.k + threadIdx.x];
  }
  __syncthreads();
  const float* weights = batch.weights + row * batch.n;
  uint8_t* index = batch.index + row * batch.n;
  for (int i = threadIdx.x; i < batch.n; i += blockDim.x) {
    const float weight = weights[i];
    int own = 0;
    for (int c = 0; c + 1 < batch.k; ++c) own += weight > steps[c];
    index[i] = static_cast<uint8_t>(own);
  }
}

}  // namespace

void FindCentroids(const KmeansBatch& batch, cudaStream_t stream) {
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(CeilDivide(batch.rows, kRowsPerBlock)));
  shape.block = dim3(kRowsPerBlock * kLanes);
  Launch("find centroids", shape, stream, CentroidsKernel, batch);
}

void AssignNearest(const KmeansBatch& batch, cudaStream_t stream) {
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(batch.rows));
  shape.block =
      dim3(static_cast<unsigned>(std::min<int64_t>(kAssignThreads, RoundUp(batch.n, kLanes))));
  Launch("assign weights", shape, stream, AssignKernel, batch);
}

}  // namespace sq::cuda
