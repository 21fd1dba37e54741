// Where a step begins and ends: embedding, argmax, and the count of tokens seen.
#include "kernels/cuda/decoder/decode_kernels.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/reduce.cuh"

namespace sq::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kPartColumns = 2048;  // of a row, for one block

__global__ void EmbedKernel(StepState state, int32_t tokens, CudaMatrix table, CudaMatrix positions,
                            CudaMatrix out) {
  WaitForPrevious();
  LetNextStart();  // not before: the next kernels read state.length without waiting
  const int64_t row = blockIdx.y,
                column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= out.cols) return;
  float value = LoadElement(table, state.ids[row], column);
  if (positions.data != nullptr) {
    value += LoadElement(positions, *state.length + static_cast<int32_t>(row) % tokens, column);
  }
  StoreElement(out, row, column, value);
}

struct Candidate {
  float value;
  int32_t id;
};

// The greater value, of equal ones the lower id; an id below 0 is none.
__device__ __forceinline__ Candidate Better(const Candidate& a, const Candidate& b) {
  if (b.id < 0) return a;
  if (a.id < 0 || b.value > a.value || (b.value == a.value && b.id < a.id)) return b;
  return a;
}

// Thread 0 gets the block's best.
__device__ Candidate BlockBest(Candidate best) {
  __shared__ Candidate of_warp[kThreads / kLanes];
  for (int bit = 1; bit < kLanes; bit *= 2) {
    const Candidate other = {__shfl_xor_sync(kWholeWarp, best.value, bit),
                             __shfl_xor_sync(kWholeWarp, best.id, bit)};
    best = Better(best, other);
  }
  const int warp = WarpOfBlock();
  if (Lane() == 0) of_warp[warp] = best;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int other = 1; other < kThreads / kLanes; ++other) best = Better(best, of_warp[other]);
  }
  return best;
}

__global__ void ArgmaxKernel(CudaMatrix x, ArgmaxScratch space, int32_t* ids) {
  LetNextStart();
  WaitForPrevious();
  const int64_t row = blockIdx.y, parts = gridDim.x;
  const float* values = static_cast<const float*>(x.data) + row * x.stride;
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kPartColumns;
  const int64_t end = min(begin + kPartColumns, x.cols);
  Candidate best = {0, -1};
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const float value = values[i];
    if (value == value) best = Better(best, {value, static_cast<int32_t>(i)});
  }
  best = BlockBest(best);
  if (threadIdx.x != 0) return;
  const int64_t first = row * parts;
  space.values[first + blockIdx.x] = best.value;
  space.ids[first + blockIdx.x] = best.id;
  __threadfence();
  if (!LastToArrive(&space.counters[row], static_cast<int>(parts))) return;
  __threadfence();
  best = {0, -1};
  for (int64_t part = first; part < first + parts; ++part) {
    best = Better(best, {__ldcg(&space.values[part]), __ldcg(&space.ids[part])});
  }
  ids[row] = best.id < 0 ? 0 : best.id;
}

__global__ void AdvanceKernel(int32_t* length, int32_t tokens) {
  LetNextStart();
  WaitForPrevious();
  *length += tokens;
}

}  // namespace

void EmbedTokens(const Queue& queue, const StepState& state, int64_t tokens,
                 const CudaMatrix& table, const CudaMatrix& positions, const CudaMatrix& out) {
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(CeilDivide(out.cols, kThreads)), static_cast<unsigned>(out.rows));
  shape.block = dim3(kThreads);
  shape.pdl = queue.pdl;
  Launch("embed tokens", shape, queue.stream, EmbedKernel, state, tokens, table, positions, out);
}

int64_t ArgmaxParts(int64_t cols) { return CeilDivide(cols, kPartColumns); }

void Argmax(const Queue& queue, const CudaMatrix& x, const ArgmaxScratch& space, int32_t* ids) {
  SQ_DCHECK(x.type == FloatType::kFloat32);
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(ArgmaxParts(x.cols)), static_cast<unsigned>(x.rows));
  shape.block = dim3(kThreads);
  shape.pdl = queue.pdl;
  Launch("argmax", shape, queue.stream, ArgmaxKernel, x, space, ids);
}

void Advance(const Queue& queue, int32_t* length, int64_t tokens) {
  LaunchShape shape;
  shape.pdl = queue.pdl;
  Launch("advance", shape, queue.stream, AdvanceKernel, length, tokens);
}

}  // namespace sq::cuda
