// The LUT-GEMV kernel: y = W x for up to kTokens tokens, bound by the memory that the codes come
// from.
//
//   - A thread block takes a stripe of the work (lut_gemv.h) and goes through its segments: units
//   of one group of 64 rows.
//   - Codes come by 128-bit loads, one or two tasks a warp ahead, past the first-level cache, each
//   once.
//   - What a code stands for is the codec's business: codec4.cuh, codec3.cuh. Both feed tensor
//   cores: products of fp16
//     are exact, sums fp32.
//   - x goes through shared memory, a chunk at a time, the next one on its way meanwhile.
//   - The outliers of a group (sparse.cuh) belong to the block that has its first unit.
//   - Sums of warps, then of stripes, are added in a fixed order: no float atomics, the same bits
//   every time.
//   - With programmatic dependent launch a block has its codes on their way before it waits for x.
#pragma once

#include "kernels/cuda/codec3.cuh"
#include "kernels/cuda/codec4.cuh"
#include "kernels/cuda/sparse.cuh"

namespace sq::cuda {

constexpr int kAhead = 2;  // tasks of a warp whose codes are on their way
constexpr int kRowPadding =
    64;  // bytes after a token's x: two tokens' reads of 64 bytes meet in no bank

template <typename Codec, int kTokens>
struct GemvShared {
  static constexpr int kXStride = Codec::kChunk * 2 + kRowPadding;
  static constexpr int kSumsBytes = Codec::kWarpsPerRow * kGroupRows * kTokens * 4;
  static constexpr int kX = Codec::kTableBytes;  // offsets in bytes
  static constexpr int kSparse = kX + kTokens * kXStride;
  static constexpr int kScratch = kSparse + kGroupRows * kTokens * 4;
  static constexpr int kLast = kScratch + kGemvWarps * kTokens * 4;
  // The warps' sums take the table's place, which nobody reads by then.
  static constexpr bool kSumsInTable = kSumsBytes <= Codec::kTableBytes;
  static constexpr int kSums = kSumsInTable ? 0 : kLast + 16;
  static constexpr int kBytes = kSumsInTable ? kLast + 16 : kSums + kSumsBytes;
};

// A chunk of x on its way to shared memory: loaded before the products of the chunk before, stored
// after.
template <int kTokens, int kChunk, int kXStride>
struct StagedX {
  static constexpr int kAtOnce = 8;  // halves of a load
  static constexpr int kLoads = (kTokens * kChunk / kAtOnce + kGemvThreads - 1) / kGemvThreads;
  uint4 words[kLoads];

  // Inputs [begin, begin + kChunk); 0 beyond the layer's inputs and tokens.
  __device__ __forceinline__ void Load(const GemvArguments& a, int begin) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int at = (static_cast<int>(threadIdx.x) + i * kGemvThreads) * kAtOnce;
      const int token = at / kChunk;
      const int column = begin + at % kChunk;
      words[i] = {0, 0, 0, 0};
      if (token < a.tokens && column < a.layer.inputs) {
        words[i] = *reinterpret_cast<const uint4*>(a.x + token * a.x_stride + column);
      }
    }
  }
  __device__ __forceinline__ void Store(unsigned char* to) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const int at = (static_cast<int>(threadIdx.x) + i * kGemvThreads) * kAtOnce;
      *reinterpret_cast<uint4*>(to + at / kChunk * kXStride + at % kChunk * 2) = words[i];
    }
  }
};

// One sum of the group to y.
__device__ __forceinline__ void FinishValue(const GemvArguments& a, int group, int row_in_group,
                                            int token, float sum) {
  const int row = group * kGroupRows + row_in_group;
  if (row >= a.layer.rows || token >= a.tokens) return;
  float value = sum * (a.layer.row_scale[row] * a.x_scale);
  if (a.layer.bias != nullptr) value += a.layer.bias[row];
  if (a.add.data != nullptr) value += LoadElement(a.add, token, row);
  StoreElement(a.y, token, row, value);
}

// What a block adds up for one group of rows, and what becomes of it.
template <int kTokens, int kWarpsPerRow>
__device__ __forceinline__ void FinishSegment(const GemvArguments& a, int group, int first_unit,
                                              int units, int units_per_group,
                                              const float* warp_sums, const float* sparse_sums,
                                              int* last) {
  constexpr int kValues = kGroupRows * kTokens;
  const bool whole = units == units_per_group;
  const int stripes = static_cast<int>(gridDim.x),
            total = units_per_group * (a.layer.padded_rows / kGroupRows);
  // The stripes that have units of this group.
  const int first_stripe = StripeOf(group * units_per_group, stripes, total);
  const int last_stripe = StripeOf((group + 1) * units_per_group - 1, stripes, total);
  for (int i = static_cast<int>(threadIdx.x); i < kValues; i += kGemvThreads) {
    float sum = first_unit == 0 && sparse_sums != nullptr ? sparse_sums[i] : 0;
#pragma unroll
    for (int w = 0; w < kWarpsPerRow; ++w) sum += warp_sums[w * kValues + i];
    if (whole) {
      FinishValue(a, group, i / kTokens, i % kTokens, sum);
    } else {
      // A stripe has at most two segments of groups that it shares: the end of one, the beginning
      // of another.
      a.partials[(static_cast<int>(blockIdx.x) * 2 + (first_unit == 0)) * kValues + i] = sum;
    }
  }
  if (whole) return;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    const auto others = static_cast<unsigned>(last_stripe - first_stripe);
    *last = atomicInc(a.arrived + group, others) == others;  // and is zero again
  }
  __syncthreads();
  if (*last == 0) return;
  __threadfence();
  for (int i = static_cast<int>(threadIdx.x); i < kValues; i += kGemvThreads) {
    float sum = 0;
    for (int stripe = first_stripe; stripe <= last_stripe; ++stripe) {
      sum += LoadFresh(a.partials + (stripe * 2 + (stripe == first_stripe)) * kValues + i);
    }
    FinishValue(a, group, i / kTokens, i % kTokens, sum);
  }
}

template <typename Codec, int kTokens>
__global__ void __launch_bounds__(kGemvThreads, Codec::kBlocks) LutGemvKernel(GemvArguments a) {
  using Shared = GemvShared<Codec, kTokens>;
  constexpr int kTasksPerChunk = Codec::kChunk / kUnitInputs * Codec::kTasksPerUnit;
  constexpr int kOwnTasks = kTasksPerChunk / kGemvWarps;  // of a warp in a chunk
  constexpr int kAhead = Codec::kAhead;
  static_assert(kOwnTasks % kAhead == 0, "queue slots are known at compile time");
  unsigned char* const shared = DynamicShared();
  auto* const sparse_sums = reinterpret_cast<float*>(shared + Shared::kSparse);
  const int warp = static_cast<int>(threadIdx.x) / kLanes;
  const uint32_t x_address = SharedAddress(shared + Shared::kX);
  const int units_per_group = a.layer.padded_inputs / kUnitInputs;
  const int total = units_per_group * (a.layer.padded_rows / kGroupRows);
  LetNextStart();
  bool waited = false;

  Codec codec;
  codec.Start(a.layer, shared);
  const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  const int end = StripeBegin(block + 1, blocks, total);
  int units = 0;
  for (int begin = StripeBegin(block, blocks, total); begin < end; begin += units) {
    const int group = begin / units_per_group, first_unit = begin % units_per_group;
    units = min(units_per_group - first_unit, end - begin);
    const int tasks = units * Codec::kTasksPerUnit;
    codec.Aim(a.layer, group, first_unit);
    typename Codec::Codes queue[kAhead] = {};
#pragma unroll
    for (int slot = 0; slot < kAhead; ++slot) {
      const int task = warp + slot * kGemvWarps;
      if (task < tasks) queue[slot] = codec.Load(task);
    }
    codec.BuildTable(a.layer, group, shared);
    if (!waited) {
      WaitForPrevious();
      waited = true;
    }
    const int first_input = first_unit * kUnitInputs;
    StagedX<kTokens, Codec::kChunk, Shared::kXStride> x;
    // On its way while outliers are added up, where registers allow it.
    constexpr bool kEarly = kTokens <= 2;
    if (kEarly) x.Load(a, first_input);
    const bool sparse = a.layer.sparse_begin != nullptr && first_unit == 0;
    if (sparse) {
      SparseSums<kTokens>(a.layer, group, a.x, a.x_stride, a.tokens, sparse_sums,
                          reinterpret_cast<float*>(shared + Shared::kScratch));
    }
    if (!kEarly) x.Load(a, first_input);
    for (int chunk = 0, done = 0; done < tasks; ++chunk, done += kTasksPerChunk) {
      if (chunk > 0) __syncthreads();  // the chunk before has been read
      x.Store(shared + Shared::kX);
      __syncthreads();
      if (done + kTasksPerChunk < tasks) x.Load(a, first_input + (chunk + 1) * Codec::kChunk);
      for (int own = 0; own < kOwnTasks; own += kAhead) {
#pragma unroll
        for (int slot = 0; slot < kAhead; ++slot) {
          const int in_chunk = warp + (own + slot) * kGemvWarps, task = done + in_chunk;
          if (task < tasks) codec.Multiply(queue[slot], in_chunk, x_address, Shared::kXStride);
          const int next = task + kAhead * kGemvWarps;
          if (next < tasks) queue[slot] = codec.Load(next);
        }
      }
    }
    __syncthreads();  // the table is free
    auto* const sums = reinterpret_cast<float*>(shared + Shared::kSums);
    codec.StoreSums(sums);
    __syncthreads();
    FinishSegment<kTokens, Codec::kWarpsPerRow>(a, group, first_unit, units, units_per_group, sums,
                                                sparse ? sparse_sums : nullptr,
                                                reinterpret_cast<int*>(shared + Shared::kLast));
    __syncthreads();  // and what was there has been read
  }
}

template <typename Codec, int kTokens>
void LaunchGemv(const GemvArguments& arguments, int64_t stripes, bool overlap,
                cudaStream_t stream) {
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(stripes));
  shape.block = dim3(kGemvThreads);
  shape.shared_bytes = GemvShared<Codec, kTokens>::kBytes;
  shape.overlap = overlap;
  Launch("LUT-GEMV", shape, stream, LutGemvKernel<Codec, kTokens>, arguments);
}

}  // namespace sq::cuda
