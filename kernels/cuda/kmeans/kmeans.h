// The kernels behind cuda_kmeans.h, each queued on a stream: sort the rows, build their weighted
// points, find the best segments, assign. The CPU's side of the comparison is src/quant.
//
// How, and what it costs. LLaMA-2-7B has 1.23 M rows of 4096 weights and 0.13 M of 11008, and an
// exact answer takes about 14 gains a point (each a division of doubles, ~16 instructions) and 1.2
// passes: 80 G gains, 0.1 s of an H100's 17 T fp64 instructions a second. So the work is nothing;
// what matters is the depth of what depends on what, and the bytes being the CPU's. By arithmetic:
//   - a thread a row, the CPU's loops as they are: 55 k gains one after the other, ~5 M cycles or 3
//     ms a row at best; 4096 rows at once are one warp a multiprocessor, whose lanes read 32 places
//     and go different ways: 1 to 3 s for the model if lanes agreed, 5 times that as they do not.
//   - a layered dynamic programme, a block a row: parallel, but k layers of n log n: 12 times the
//     gains at k = 16, and where splits tie it finds others than the CPU.
//   - a warp a row (this one): the CPU's pass goes block by block, and inside a block it only scans
//     ranges of candidates that are all known. Lanes share the scans, keeping the lowest candidate
//     of equal ones, so every decision is the CPU's.
// Sorting is a bitonic network on unique 64-bit words (key, position), which is a stable sort and
// needs no library. Sums whose order the CPU fixes are taken by all lanes alike from 32 shared
// slots. Measured on an H200 with the copies (tests/bench/bench_cuda_kmeans.cc): a matrix of 4096 x
// 4096 takes 22 ms, of 4096 x 11008 126 ms; all of the model 11 s.
#pragma once

#include "kernels/cuda/runtime.h"

namespace sq::cuda {

// Rows on their way, in device memory. Rows of `stride` entries have room for n + 1.
struct KmeansBatch {
  int64_t rows, stride, words_stride;
  int32_t n, k;
  const float* weights;      // [rows][n]
  const float* sensitivity;  // [rows][n]

  // After the sort: [rows][words_stride, a power of two], key above the bits of the sensitivity.
  uint64_t* words;
  int32_t* count;  // [rows], words, and after BuildPoints, points

  // As in quant/weighted_points.h, [rows][stride].
  double *value, *mass, *mass_to, *moment_to;
  double* second_moment;  // [rows]

  double* best;   // [rows][stride], of the pass: quant/least_weight.h
  int32_t* from;  // [rows][stride]
  int32_t* cuts;  // [rows][3][stride], three splits

  float* centroids;  // [rows][k]
  float* steps;      // [rows][k], the largest float that belongs to the centroid
  uint8_t* index;    // [rows][n]
};

// words, count
void SortRows(const KmeansBatch& batch, cudaStream_t stream);
// value, mass, mass_to, moment_to, second_moment, count
void BuildPoints(const KmeansBatch& batch, cudaStream_t stream);
// centroids, steps
void FindCentroids(const KmeansBatch& batch, cudaStream_t stream);
// index
void AssignNearest(const KmeansBatch& batch, cudaStream_t stream);

// The device memory of one batch at a time, grown as needed.
class KmeansMemory {
 public:
  // Of rows of n weights, and k clusters; what was there is lost if it grows.
  KmeansBatch MakeRoom(int64_t rows, int64_t n, int64_t k);
  // weights [rows][n], then the sensitivities
  float* input() const { return input_.data(); }

 private:
  Buffer<float> input_, floats_;
  Buffer<uint64_t> words_;
  Buffer<double> doubles_;
  Buffer<int32_t> integers_;
  Buffer<uint8_t> index_;
};

// The smallest power of two that holds a row, and a row's pairs.
inline int64_t SortedLength(int64_t n) {
  int64_t length = 2;
  while (length < n) length *= 2;
  return length;
}

}  // namespace sq::cuda
