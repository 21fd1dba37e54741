// Attention of new tokens to the cache: decode_kernels.h tells how the work is divided.
//
// A warp and its 32 positions. Keys: 4 lanes a key, 8 keys at once; lane l takes the 16-byte chunks
// l%4, l%4 + 4, .. of key l/4, so that every load is of whole sectors; two exchanges give the
// product. Scores then move to the lane of their number. Values: as many lanes a row as it may have
// chunks, each adding up its 8 dims for every query; weights come from their lanes by exchange.
// Where there are registers for it, all 32 positions are on their way at once, the first before the
// queries are there, the next keys while values are worked on: a warp waits for memory once, not
// once a key. Powers are of 2: log2(e) is in the queries' scale.
#include <algorithm>

#include "kernels/cuda/decode_kernels.h"
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vectors.cuh"

namespace sq::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kLanes;
constexpr int kAtOnce = kLanes;                // positions of a warp
constexpr int kLeastSplit = kWarps * kAtOnce;  // positions
constexpr int64_t kMostSplits = 32;
constexpr float kNone = -INFINITY;

struct Arguments {
  const float* qkv;
  int64_t qkv_stride;
  Cache cache;
  CudaMatrix out;
  const int32_t* length;
  float* partial;
  unsigned* counters;
  float scale;
  int32_t tokens, group, window;  // group: query heads of a kv head
};

// Queries [first, first + queries) of a kv head, query u being head u % group of token u / group,
// and the positions that any of them attends to.
struct Tile {
  int first, count, length, begin, end;

  __device__ Tile(const Arguments& a, int tile, int queries, int length)
      : first(tile * queries), count(a.tokens * a.group), length(length) {
    const int last = min(first + queries, count) - 1;
    end = length + last / a.group + 1;
    begin = a.window > 0 ? max(0, length + first / a.group + 1 - a.window) : 0;
  }
  // One behind the last position that query `u` attends to; 0 for one too many.
  __device__ int End(const Arguments& a, int u) const {
    return u < count ? length + u / a.group + 1 : 0;
  }
};

// Dims that chunks hold: those of a query in shared memory.
template <int kChunks>
constexpr int kDims = 32 * kChunks;

// The tile's queries to shared memory, times a.scale; 0 for dims and queries too many.
template <int kQueries, int kChunks>
__device__ __forceinline__ void StageQueries(const Arguments& a, const Tile& tile, int kv_head,
                                             float* to) {
  constexpr int kFours = kQueries * kDims<kChunks> / 4;
  const int head_dim = static_cast<int>(a.cache.head_dim);
  const int64_t first_row = static_cast<int64_t>(blockIdx.z) * a.tokens;
#pragma unroll
  for (int begin = 0; begin < kFours; begin += kThreads) {
    const int i = begin + static_cast<int>(threadIdx.x);
    if (i >= kFours) break;
    const int u = tile.first + 4 * i / kDims<kChunks>, dim = 4 * i % kDims<kChunks>;
    float4 query = {0, 0, 0, 0};
    if (u < tile.count && dim < head_dim) {
      const int token = u / a.group, head = kv_head * a.group + u % a.group;
      query = *reinterpret_cast<const float4*>(a.qkv + (first_row + token) * a.qkv_stride +
                                               head * head_dim + dim);
    }
    reinterpret_cast<float4*>(to)[i] = {query.x * a.scale, query.y * a.scale, query.z * a.scale,
                                        query.w * a.scale};
  }
}

// What a query has gathered so far: sums of powers and of values weighted with them, both relative
// to 2^greatest. `sum` is of the lane's own positions.
template <int kQueries>
struct Gathered {
  float greatest[kQueries], sum[kQueries], values[kQueries][8];
};

// Keys or values of a head, [positions][head_dim] fp16, of which those before `end` are read.
struct HeadRows {
  const uint16_t* data;
  int head_dim, end;

  // The chunk of 16 bytes from `dim` on; beyond head_dim the last one.
  __device__ __forceinline__ uint4 Load(int position, int dim) const {
    // Of 32 bits each, so that an address is one instruction.
    const auto row = static_cast<uint32_t>(min(position, end - 1));
    const auto row_bytes = static_cast<uint32_t>(2 * head_dim);
    const auto* at = reinterpret_cast<const unsigned char*>(data + min(dim, head_dim - 8));
    return *reinterpret_cast<const uint4*>(at + static_cast<uint64_t>(row) * row_bytes);
  }
};

// Keys of 32 positions on their way to a warp, in rounds of 8 keys: as many rounds at once as there
// are registers for, so that their ways through memory are one.
template <int kQueries, int kChunks>
struct KeyRows {
  static constexpr int kRounds = kAtOnce / 8;
  static constexpr int kHeld = kChunks > 4 ? 1 : kQueries <= 2 ? kRounds : kQueries == 4 ? 2 : 1;
  static constexpr bool kAhead = kHeld == kRounds;
  uint4 held[kHeld][kChunks];

  // A chunk's first dim.
  __device__ __forceinline__ static int Dim(int chunk) {
    return 8 * (4 * chunk + static_cast<int>(threadIdx.x) % 4);
  }
  // Of round `round` on.
  __device__ __forceinline__ void Load(const HeadRows& keys, int first, int round) {
    const int own = static_cast<int>(threadIdx.x) % kLanes / 4;
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
#pragma unroll
      for (int c = 0; c < kChunks; ++c) {
        held[i][c] = keys.Load(first + 8 * (round + i) + own, Dim(c));
      }
    }
  }
  __device__ __forceinline__ void LoadAhead(const HeadRows& keys, int first) {
    if constexpr (kAhead) Load(keys, first, 0);
  }
};

// Scores of 32 positions from `first` on: lane l gets those of position first + l.
template <int kQueries, int kChunks>
__device__ __forceinline__ void Scores(const HeadRows& keys, const float* queries, int first,
                                       KeyRows<kQueries, kChunks>* rows,
                                       float (&scores)[kQueries]) {
  using Rows = KeyRows<kQueries, kChunks>;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
#pragma unroll 1
  for (int round = 0; round < Rows::kRounds; round += Rows::kHeld) {
    if constexpr (!Rows::kAhead) rows->Load(keys, first, round);
#pragma unroll
    for (int i = 0; i < Rows::kHeld; ++i) {
      float dot[kQueries] = {};
#pragma unroll
      for (int c = 0; c < kChunks; ++c) {
        float k[8];
        HalvesToFloats(rows->held[i][c], k);
#pragma unroll
        for (int q = 0; q < kQueries; ++q) {
          // Zero beyond head_dim.
          const auto* query =
              reinterpret_cast<const float4*>(queries + q * kDims<kChunks> + Rows::Dim(c));
          const float4 low = query[0], high = query[1];
          dot[q] += low.x * k[0] + low.y * k[1] + low.z * k[2] + low.w * k[3] + high.x * k[4] +
                    high.y * k[5] + high.z * k[6] + high.w * k[7];
        }
      }
#pragma unroll
      for (int q = 0; q < kQueries; ++q) {
        const float moved = __shfl_sync(kWholeWarp, LanesSum(dot[q], 1, 4), lane % 8 * 4);
        if (lane / 8 == round + i) scores[q] = moved;
      }
    }
  }
}

// How a warp reads the values of 32 positions: lane l has dims 8 (l % kLanesARow) .. of every
// kRows-th row.
template <int kQueries, int kChunks>
struct ValueRows {
  static constexpr int kLanesARow = 4 * kChunks, kRows = kLanes / kLanesARow;
  static constexpr int kLoads = kLanes / kRows;
  static constexpr bool kAhead = kQueries <= 2 && kLoads <= 16;
  uint4 held[kAhead ? kLoads : 1];

  __device__ __forceinline__ static int Dim() {
    return 8 * (static_cast<int>(threadIdx.x) % kLanesARow);
  }
  __device__ __forceinline__ static int Row(int i) {
    return static_cast<int>(threadIdx.x) % kLanes / kLanesARow + i * kRows;
  }
  __device__ __forceinline__ static uint4 Load(const HeadRows& values, int first, int i) {
    return values.Load(first + Row(i), Dim());
  }
  __device__ __forceinline__ void LoadAhead(const HeadRows& values, int first) {
    if constexpr (kAhead) {
#pragma unroll
      for (int i = 0; i < kLoads; ++i) held[i] = Load(values, first, i);
    }
  }
  __device__ __forceinline__ uint4 At(const HeadRows& values, int first, int i) const {
    if constexpr (kAhead) {
      return held[i];
    } else {
      return Load(values, first, i);
    }
  }
};

// Adds 32 positions with scores that are kNone where a query does not attend.
template <int kQueries, int kChunks>
__device__ __forceinline__ void Gather(const HeadRows& values, int first,
                                       const ValueRows<kQueries, kChunks>& rows,
                                       const float (&scores)[kQueries], Gathered<kQueries>* g) {
  using Rows = ValueRows<kQueries, kChunks>;
  float weight[kQueries];
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
    const float greatest = fmaxf(g->greatest[q], LanesMax(scores[q]));
    const float base = greatest == kNone ? 0 : greatest;
    const float kept = exp2f(g->greatest[q] - base);
    weight[q] = exp2f(scores[q] - base);
    g->greatest[q] = greatest;
    g->sum[q] = g->sum[q] * kept + weight[q];
#pragma unroll
    for (int j = 0; j < 8; ++j) g->values[q][j] *= kept;
  }
#pragma unroll(Rows::kAhead ? Rows::kLoads : 4)
  for (int i = 0; i < Rows::kLoads; ++i) {
    float v[8];
    HalvesToFloats(rows.At(values, first, i), v);
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      const float w = __shfl_sync(kWholeWarp, weight[q], Rows::Row(i));
#pragma unroll
      for (int j = 0; j < 8; ++j) g->values[q][j] += w * v[j];
    }
  }
}

// Partial results lie as [parts][values [queries][head_dim], greatest [queries], sum [queries]].
__device__ __forceinline__ int64_t PartFloats(int queries, int head_dim) {
  return static_cast<int64_t>(queries) * (head_dim + 2);
}

// All parts of query q in order: the sum of powers, relative to *greatest, and that of values'
// dim d. `load` reads a float.
template <typename Load>
__device__ __forceinline__ float AddParts(const float* parts, int count, int queries, int head_dim,
                                          int q, int d, Load load, float* greatest, float* sum) {
  const int64_t stride = PartFloats(queries, head_dim);
  const float* greatest_of = parts + queries * head_dim + q;
  *greatest = kNone;
  for (int i = 0; i < count; ++i) *greatest = fmaxf(*greatest, load(greatest_of + i * stride));
  const float base = *greatest == kNone ? 0 : *greatest;
  float value = 0;
  *sum = 0;
  for (int i = 0; i < count; ++i) {
    const float factor = exp2f(load(greatest_of + i * stride) - base);
    *sum += factor * load(greatest_of + queries + i * stride);
    value += factor * load(parts + i * stride + q * head_dim + d);
  }
  return value;
}

template <int kQueries, int kLanesARow>
__device__ void WriteWarp(const Gathered<kQueries>& gathered, int head_dim, float* part) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
#pragma unroll
  for (int q = 0; q < kQueries; ++q) {
    const float sum = LanesSum(gathered.sum[q]);
    if (lane == 0) {
      part[kQueries * head_dim + q] = gathered.greatest[q];
      part[kQueries * (head_dim + 1) + q] = sum;
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      const float value = LanesSum(gathered.values[q][j], kLanesARow);
      if (lane < kLanesARow && 8 * lane < head_dim) part[q * head_dim + 8 * lane + j] = value;
    }
  }
}

// Whether this block is the last of `count` that come here with this counter; all threads call it
// after their writes.
__device__ bool LastToArrive(unsigned* counter, int count) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicInc(counter, static_cast<unsigned>(count - 1)) == static_cast<unsigned>(count - 1);
  }
  __syncthreads();
  __threadfence();
  return last;
}

// kChunks: 16-byte chunks of a key that one lane takes, at most.
template <int kQueries, int kChunks>
__global__ void __launch_bounds__(kThreads) AttendKernel(Arguments a) {
  const int length = *a.length;  // which the kernel before this one does not write
  WaitForPrevious();
  LetNextStart();
  const int head_dim = static_cast<int>(a.cache.head_dim);
  const int kv_heads = static_cast<int>(a.cache.kv_heads);
  const int kv_head = static_cast<int>(blockIdx.y) % kv_heads;
  const Tile tile(a, static_cast<int>(blockIdx.y) / kv_heads, kQueries, length);
  // How many splits there are at this length: kLeastSplit positions each, or more.
  const int split = static_cast<int>(blockIdx.x), most = static_cast<int>(gridDim.x);
  const int seen = tile.end - tile.begin;
  const int step = max(kLeastSplit, (seen + most - 1) / most);
  const int splits = (seen + step - 1) / step;
  if (split >= splits) return;
  const int begin = tile.begin + split * step, end = min(begin + step, tile.end);

  const int thread = static_cast<int>(threadIdx.x), warp = thread / kLanes, lane = thread % kLanes;
  float* const queries = reinterpret_cast<float*>(DynamicShared());
  const int64_t first_row = static_cast<int64_t>(blockIdx.z) * a.tokens;
  const int64_t head = (static_cast<int64_t>(blockIdx.z) * kv_heads + kv_head) * a.cache.capacity;
  const HeadRows keys = {a.cache.keys + head * head_dim, head_dim, end};
  const HeadRows values = {a.cache.values + head * head_dim, head_dim, end};
  KeyRows<kQueries, kChunks> key_rows;
  ValueRows<kQueries, kChunks> value_rows;
  int first = begin + warp * kAtOnce;
  if (first < end) {  // before the queries, which they do not depend on
    key_rows.LoadAhead(keys, first);
    value_rows.LoadAhead(values, first);
  }
  StageQueries<kQueries, kChunks>(a, tile, kv_head, queries);
  __syncthreads();

  Gathered<kQueries> gathered = {};
#pragma unroll
  for (int q = 0; q < kQueries; ++q) gathered.greatest[q] = kNone;
  for (; first < end; first += kThreads) {
    const int next = first + kThreads;
    float scores[kQueries];
    Scores<kQueries, kChunks>(keys, queries, first, &key_rows, scores);
    if (next < end) key_rows.LoadAhead(keys, next);
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      const int position = first + lane, query_end = tile.End(a, tile.first + q);
      const bool attends =
          position < min(end, query_end) && (a.window <= 0 || position >= query_end - a.window);
      if (!attends) scores[q] = kNone;
    }
    Gather(values, first, value_rows, scores, &gathered);
    if (next < end) value_rows.LoadAhead(values, next);
  }
  float* const of_warps = queries + kQueries * kDims<kChunks>;
  WriteWarp<kQueries, ValueRows<kQueries, kChunks>::kLanesARow>(
      gathered, head_dim, of_warps + warp * PartFloats(kQueries, head_dim));
  __syncthreads();

  const int64_t flat = static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y;
  float* const parts = a.partial + flat * most * PartFloats(kQueries, head_dim);
  const auto write = [&](int u, int d, float value, float sum) {
    if (u >= tile.count) return;
    StoreElement(a.out, first_row + u / a.group,
                 static_cast<int64_t>(kv_head * a.group + u % a.group) * head_dim + d, value / sum);
  };
#pragma unroll 1
  for (int i = thread; i < kQueries * head_dim; i += kThreads) {
    const int q = i / head_dim, d = i % head_dim;
    float greatest, sum;
    const float value = AddParts(
        of_warps, kWarps, kQueries, head_dim, q, d, [](const float* at) { return *at; }, &greatest,
        &sum);
    if (splits == 1) {
      write(tile.first + q, d, value, sum);
      continue;
    }
    float* const part = parts + split * PartFloats(kQueries, head_dim);
    part[i] = value;
    if (d == 0) {
      part[kQueries * head_dim + q] = greatest;
      part[kQueries * (head_dim + 1) + q] = sum;
    }
  }
  if (splits == 1 || !LastToArrive(a.counters + flat, splits)) return;
#pragma unroll 1
  for (int i = thread; i < kQueries * head_dim; i += kThreads) {
    const int q = i / head_dim, d = i % head_dim;
    float greatest, sum;
    const float value = AddParts(
        parts, splits, kQueries, head_dim, q, d, [](const float* at) { return __ldcg(at); },
        &greatest, &sum);
    write(tile.first + q, d, value, sum);
  }
}

// Dims of a query in shared memory: what the chunks of its instance hold.
int64_t PaddedDim(int64_t head_dim) { return head_dim <= 64 ? 64 : head_dim <= 128 ? 128 : 256; }

template <int kQueries>
void (*KernelFor(int64_t head_dim))(Arguments) {
  switch (PaddedDim(head_dim)) {
    case 64: return AttendKernel<kQueries, 2>;
    case 128: return AttendKernel<kQueries, 4>;
    default: return AttendKernel<kQueries, 8>;
  }
}

void (*KernelFor(int queries, int64_t head_dim))(Arguments) {
  switch (queries) {
    case 1: return KernelFor<1>(head_dim);
    case 2: return KernelFor<2>(head_dim);
    case 4: return KernelFor<4>(head_dim);
    default: return KernelFor<8>(head_dim);
  }
}

}  // namespace

AttentionPlan PlanAttention(int64_t batch, int64_t tokens, int64_t heads, const Cache& cache,
                            int64_t blocks_wanted) {
  SQ_DCHECK(heads % cache.kv_heads == 0);
  const int64_t count = tokens * (heads / cache.kv_heads);  // queries of a kv head
  AttentionPlan plan = {};
  plan.batch = batch;
  plan.tokens = tokens;
  plan.heads = heads;
  plan.queries = count > 4 ? 8 : count > 2 ? 4 : static_cast<int>(count);
  plan.tiles = CeilDivide(count, plan.queries);
  plan.blocks = batch * cache.kv_heads * plan.tiles;
  plan.splits = std::min({CeilDivide(blocks_wanted, plan.blocks),
                          CeilDivide(cache.capacity, kLeastSplit), kMostSplits});
  plan.partial =
      plan.splits == 1 ? 0 : plan.blocks * plan.splits * plan.queries * (cache.head_dim + 2);
  return plan;
}

void Attend(const Queue& queue, const AttentionPlan& plan, const CudaMatrix& qkv,
            const Cache& cache, int64_t window, const int32_t* length, const AttentionSpace& space,
            const CudaMatrix& out) {
  SQ_DCHECK(cache.head_dim % 8 == 0 && cache.head_dim <= kMostHeadDim);
  Arguments arguments = {};
  arguments.qkv = static_cast<const float*>(qkv.data);
  arguments.qkv_stride = qkv.stride;
  arguments.cache = cache;
  arguments.out = out;
  arguments.length = length;
  arguments.partial = space.partial;
  arguments.counters = space.counters;
  constexpr double kLog2E = 1.4426950408889634;
  arguments.scale = static_cast<float>(kLog2E / std::sqrt(static_cast<double>(cache.head_dim)));
  arguments.tokens = static_cast<int32_t>(plan.tokens);
  arguments.group = static_cast<int32_t>(plan.heads / cache.kv_heads);
  arguments.window = static_cast<int32_t>(window);
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(plan.splits), static_cast<unsigned>(cache.kv_heads * plan.tiles),
           static_cast<unsigned>(plan.batch));
  shape.block = dim3(kThreads);
  shape.shared_bytes = static_cast<int64_t>(sizeof(float)) * plan.queries *
                       (PaddedDim(cache.head_dim) + kWarps * (cache.head_dim + 2));
  shape.overlap = queue.overlap;
  Launch("attention", shape, queue.stream, KernelFor(plan.queries, cache.head_dim), arguments);
}

}  // namespace sq::cuda
