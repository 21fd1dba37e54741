// From a row to its weighted points, after quant/weighted_points.h: sort by weight then position,
// merge equal weights, sum up in the CPU's order. Compiled without contraction to fused
// multiply-adds (kernels/CMakeLists.txt), which would change the sums.
#include <algorithm>

#include "kernels/cuda/kmeans/kmeans.h"
#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/warp.cuh"

namespace sq::cuda {
namespace {

// ---------------------------------------------------------------- sorting, a block a row
constexpr int kMaxSortThreads = 512;
// Words that are sorted in shared memory; of longer rows, in pieces of so many. 64 KB.
constexpr int kPiece = 8192;
constexpr uint64_t kNothing = ~uint64_t{0};  // behind all weights

// An unsigned number in the order of the floats; -0 has the key of +0.
__device__ uint32_t KeyOf(float weight) {
  const uint32_t bits = __float_as_uint(weight);
  const uint32_t magnitude = bits & 0x7fffffffu, sign = bits >> 31;
  return 0x80000000u + ((magnitude ^ (0u - sign)) + sign);
}

__device__ float WeightOf(uint32_t key) {
  return __uint_as_float(key >= 0x80000000u ? key - 0x80000000u
                                            : 0x80000000u | (0x80000000u - key));
}

// One step of a bitonic sort of the words that begin at position `base` of their row.
__device__ void BitonicStep(uint64_t* words, int length, int base, int size, int stride) {
  for (int pair = threadIdx.x; pair < length / 2; pair += blockDim.x) {
    const int low = 2 * pair - (pair & (stride - 1)), high = low + stride;
    const uint64_t first = words[low], second = words[high];
    const bool ascending = ((base + low) & size) == 0;
    if ((first > second) == ascending) {
      words[low] = second;
      words[high] = first;
    }
  }
  __syncthreads();
}

// Sorts the row's words in pieces of `piece` in shared memory: all sizes up to the piece's, or the
// strides of one size that stay inside a piece.
template <typename Load, typename Store>
__device__ void SortPieces(int length, int piece, int first_size, int last_size, Load load,
                           Store store) {
  auto* shared = reinterpret_cast<uint64_t*>(DynamicShared());
  for (int base = 0; base < length; base += piece) {
    for (int i = threadIdx.x; i < piece; i += blockDim.x) shared[i] = load(base + i);
    __syncthreads();
    for (int size = first_size; size <= last_size; size *= 2) {
      for (int stride = min(size, piece) / 2; stride > 0; stride /= 2) {
        BitonicStep(shared, piece, base, size, stride);
      }
    }
    for (int i = threadIdx.x; i < piece; i += blockDim.x) store(base + i, shared[i]);
    __syncthreads();
  }
}

__global__ void __launch_bounds__(kMaxSortThreads) SortKernel(KmeansBatch batch, int piece) {
  __shared__ int positive;
  const int64_t row = blockIdx.x;
  const int n = batch.n, length = static_cast<int>(batch.words_stride);
  const float* weights = batch.weights + row * n;
  const float* sensitivity = batch.sensitivity + row * n;
  uint64_t* words = batch.words + row * batch.words_stride;
  if (threadIdx.x == 0) positive = 0;
  __syncthreads();
  int own = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) own += sensitivity[i] > 0;
  atomicAdd(&positive, own);
  __syncthreads();
  const bool uniform = positive == 0;  // then every weight counts 1
  const int count = uniform ? n : positive;
  if (threadIdx.x == 0) batch.count[row] = count;

  const auto make = [&](int i) {
    if (i >= n || !(uniform || sensitivity[i] > 0)) return kNothing;
    return static_cast<uint64_t>(KeyOf(weights[i])) << 32 | static_cast<uint32_t>(i);
  };
  const auto load = [&](int i) { return words[i]; };
  const auto keep = [&](int i, uint64_t word) { words[i] = word; };
  const auto finish = [&](int i, uint64_t word) {
    if (i >= count) return;
    const float own_sensitivity = uniform ? 1.0f : sensitivity[static_cast<uint32_t>(word)];
    words[i] = word >> 32 << 32 | __float_as_uint(own_sensitivity);
  };
  if (length == piece) {
    SortPieces(length, piece, 2, piece, make, finish);
    return;
  }
  SortPieces(length, piece, 2, piece, make, keep);
  for (int size = 2 * piece; size <= length; size *= 2) {
    for (int stride = size / 2; stride >= piece; stride /= 2) {
      BitonicStep(words, length, 0, size, stride);
    }
    if (size < length) {
      SortPieces(length, piece, size, size, load, keep);
    } else {
      SortPieces(length, piece, size, size, load, finish);
    }
  }
}

// ---------------------------------------------------------------- points, a warp a row
constexpr int kRowsPerBlock = 4;

struct Slots {
  double at[3][kLanes];
};

// Runs of equal words become one point. Returns how many, and the sums of mass and of mass * value.
__device__ int Merge(const uint64_t* words, int count, double* value, double* mass, Slots& slots,
                     double* total, double* weighted) {
  const int lane = Lane();
  int points = 0;
  *total = *weighted = 0;
  for (int base = 0; base < count; base += kLanes) {
    const int i = base + lane;
    const uint32_t key = i < count ? static_cast<uint32_t>(words[i] >> 32) : 0;
    const bool begins = i < count && (i == 0 || static_cast<uint32_t>(words[i - 1] >> 32) != key);
    const uint32_t beginnings = __ballot_sync(kWholeWarp, begins);
    if (begins) {
      double own = __uint_as_float(static_cast<uint32_t>(words[i]));
      for (int j = i + 1; j < count && static_cast<uint32_t>(words[j] >> 32) == key; ++j) {
        own += __uint_as_float(static_cast<uint32_t>(words[j]));
      }
      const int rank = __popc(beginnings & ((1u << lane) - 1));
      const double weight = WeightOf(key);
      value[points + rank] = weight;
      mass[points + rank] = own;
      slots.at[0][rank] = own;
      slots.at[1][rank] = own * weight;
    }
    __syncwarp();
    const int found = __popc(beginnings);
    for (int l = 0; l < found; ++l) {
      *total += slots.at[0][l];
      *weighted += slots.at[1][l];
    }
    points += found;
    __syncwarp();
  }
  return points;
}

// The prefix sums. A point too light for the sum of mass joins the next; returns how many are left.
__device__ int SumUp(double mean, int points, double* value, double* mass, double* mass_to,
                     double* moment_to, Slots& slots, double* second_moment) {
  const int lane = Lane();
  int kept = 0;
  double moment = 0, second = 0, sum = 0, waiting = 0;
  for (int base = 0; base < points; base += kLanes) {
    const int i = base + lane;
    const double own_value = i < points ? value[i] : 0;
    if (i < points) {
      const double distance = own_value - mean;
      const double weighted_distance = mass[i] * distance;
      slots.at[0][lane] = mass[i];
      slots.at[1][lane] = weighted_distance;
      slots.at[2][lane] = weighted_distance * distance;
    }
    __syncwarp();
    int place = -1;  // this lane's point, if it is kept
    double own_mass = 0, own_sum = 0, own_moment = 0;
    const int here = min(kLanes, points - base);
    for (int l = 0; l < here; ++l) {
      moment += slots.at[1][l];
      second += slots.at[2][l];
      const double gathered = slots.at[0][l] + waiting;
      if (sum + gathered == sum) {
        waiting = gathered;
        continue;
      }
      sum += gathered;
      waiting = 0;
      if (l == lane) {
        place = kept;
        own_mass = gathered;
        own_sum = sum;
        own_moment = moment;
      }
      ++kept;
    }
    if (place >= 0) {  // never behind what is still to be read
      value[place] = own_value;
      mass[place] = own_mass;
      mass_to[place + 1] = own_sum;
      moment_to[place + 1] = own_moment;
    }
    __syncwarp();
  }
  if (lane == 0) {
    mass_to[0] = moment_to[0] = 0;
    moment_to[kept] = moment;  // light points at the end join the last one
  }
  *second_moment = second;
  return kept;
}

__global__ void __launch_bounds__(kRowsPerBlock* kLanes) PointsKernel(KmeansBatch batch) {
  __shared__ Slots all_slots[kRowsPerBlock];
  const int warp = WarpOfBlock();
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsPerBlock + warp;
  if (row >= batch.rows) return;
  Slots& slots = all_slots[warp];
  const int64_t at = row * batch.stride;
  double *value = batch.value + at, *mass = batch.mass + at;
  double total, weighted, second_moment;
  const int points = Merge(batch.words + row * batch.words_stride, batch.count[row], value, mass,
                           slots, &total, &weighted);
  const int kept = SumUp(weighted / total, points, value, mass, batch.mass_to + at,
                         batch.moment_to + at, slots, &second_moment);
  if (Lane() == 0) {
    batch.count[row] = kept;
    batch.second_moment[row] = second_moment;
  }
}

}  // namespace

void SortRows(const KmeansBatch& batch, cudaStream_t stream) {
  const int64_t piece = std::min<int64_t>(batch.words_stride, kPiece);
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(batch.rows));
  shape.block = dim3(static_cast<unsigned>(
      std::min<int64_t>(kMaxSortThreads, RoundUp(CeilDivide(batch.words_stride, 4), kLanes))));
  shape.shared_bytes = piece * static_cast<int64_t>(sizeof(uint64_t));
  Launch("sort rows", shape, stream, SortKernel, batch, static_cast<int>(piece));
}

void BuildPoints(const KmeansBatch& batch, cudaStream_t stream) {
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(CeilDivide(batch.rows, kRowsPerBlock)));
  shape.block = dim3(kRowsPerBlock * kLanes);
  Launch("build points", shape, stream, PointsKernel, batch);
}

}  // namespace sq::cuda
