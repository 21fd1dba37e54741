// Attention of new tokens to the KV cache. decode_kernels.h describes how the work is divided,
// attention_warp.cuh what a warp does. Where registers allow, a warp loads its first positions
// before the queries are ready, and those of earlier steps before the previous kernel has ended.
// For one token of each sequence the kernel also applies RoPE and appends to the cache.
#include <algorithm>

#include "kernels/cuda/decoder/attention_warp.cuh"
#include "kernels/cuda/decoder/decode_kernels.h"
#include "kernels/cuda/decoder/rope_head.cuh"
#include "kernels/cuda/elements.cuh"

namespace sq::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kLanes;
constexpr int kMinSplit = kWarps * kWarpPositions;  // positions
constexpr int64_t kMaxSplits = 32;

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
  RopeArguments rope;             // with a qkv: to be applied here
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

// The same with RoPE still to be applied, one warp for each query; and the new key and value to the
// cache, if this block reads them.
template <int kQueries, int kChunks>
struct BlockRope {
  HeadRope rope;  // of the warp's first head
  int heads;      // that the block has_rope

  // The number of head `i` of these; below 0: a query too many.
  __device__ __forceinline__ static int Head(const Arguments& a, const Tile& tile, int kv_head,
                                             int i) {
    const int query_heads = static_cast<int>(a.rope.heads);
    if (i == kQueries) return query_heads + kv_head;
    if (i > kQueries) return query_heads + static_cast<int>(a.cache.kv_heads) + kv_head;
    return tile.first + i < tile.count ? kv_head * a.group + tile.first + i : -1;
  }
  __device__ __forceinline__ void LoadAhead(const Arguments& a, const Tile& tile, int kv_head,
                                            bool has_new, int warp) {
    heads = has_new ? kQueries + 2 : kQueries;
    const int head = warp < heads ? Head(a, tile, kv_head, warp) : -1;
    if (head >= 0) rope.LoadAhead(a.rope, a.cache, head, tile.length);
  }
  __device__ __forceinline__ void Apply(const Arguments& a, const Tile& tile, int kv_head, int warp,
                                        float* queries) {
    const auto head_dim = static_cast<int>(a.cache.head_dim);
    const int64_t sequence = blockIdx.z;
    const float* const row = a.qkv + sequence * a.qkv_stride;
    for (int i = warp; i < heads; i += kWarps) {
      const int head = Head(a, tile, kv_head, i);
      if (i != warp && head >= 0) rope.LoadAhead(a.rope, a.cache, head, tile.length);
      if (i < kQueries) {
        float* const to = queries + i * kDims<kChunks>;
        const int used = head >= 0 ? head_dim : 0;
        for (int d = used + Lane(); d < kDims<kChunks>; d += kLanes) to[d] = 0;
        if (head < 0) continue;
        rope.Apply(a.rope, a.cache, row + head * head_dim, [&](int dim, float2 two) {
          *reinterpret_cast<float2*>(to + dim) = {two.x * a.scale, two.y * a.scale};
        });
      } else {
        uint16_t* const to =
            CacheRow(a.cache, sequence, head - static_cast<int>(a.rope.heads), tile.length);
        rope.Apply(a.rope, a.cache, row + head * head_dim, [&](int dim, float2 two) {
          *reinterpret_cast<uint32_t*>(to + dim) = PackHalves(two.x, two.y);
        });
      }
    }
  }
};

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
  *greatest = kNoScore;
  for (int i = 0; i < count; ++i) *greatest = fmaxf(*greatest, load(greatest_of + i * stride));
  const float base = *greatest == kNoScore ? 0 : *greatest;
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

// LastToArrive for a block: all threads call it after their writes.
__device__ bool LastBlock(unsigned* counter, int count) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = LastToArrive(counter, count);
  }
  __syncthreads();
  __threadfence();
  return last;
}

// The positions that a block attends to: one split of those of its tile.
struct Split {
  int index, most;  // most: splits that there is workspace for
  int count;        // splits at this length: kMinSplit positions each, or more
  int begin, end;

  __device__ explicit Split(const Tile& tile)
      : index(static_cast<int>(blockIdx.x)), most(static_cast<int>(gridDim.x)) {
    const int seen = tile.end - tile.begin;
    const int step = max(kMinSplit, (seen + most - 1) / most);
    count = (seen + step - 1) / step;
    begin = tile.begin + index * step;
    end = min(begin + step, tile.end);
  }
};

// Keys and values that a warp has loaded ahead, of 32 positions of the split at a time.
template <int kQueries, int kChunks>
struct WarpRows {
  HeadRows keys, values;
  KeyRows<kQueries, kChunks> key_rows;
  ValueRows<kQueries, kChunks> value_rows;

  __device__ __forceinline__ WarpRows(const Arguments& a, int kv_head, int end) {
    const int head_dim = static_cast<int>(a.cache.head_dim);
    const int64_t head = static_cast<int64_t>(blockIdx.z) * a.cache.kv_heads + kv_head;
    const int64_t at = head * a.cache.capacity * head_dim;
    keys = {a.cache.keys + at, head_dim, end};
    values = {a.cache.values + at, head_dim, end};
  }
  __device__ __forceinline__ void LoadAhead(int first) {
    key_rows.LoadAhead(keys, first);
    value_rows.LoadAhead(values, first);
  }
};

// The warp's positions of the split, from `first` on, whose rows have been asked for.
template <int kQueries, int kChunks>
__device__ __forceinline__ void GatherSplit(const Arguments& a, const Tile& tile, int end,
                                            int first, const float* queries,
                                            WarpRows<kQueries, kChunks>* rows,
                                            Gathered<kQueries>* gathered) {
#pragma unroll
  for (int q = 0; q < kQueries; ++q) gathered->greatest[q] = kNoScore;
  for (; first < end; first += kThreads) {
    const int next = first + kThreads;
    float scores[kQueries];
    Scores<kQueries, kChunks>(rows->keys, queries, first, &rows->key_rows, scores);
#pragma unroll
    for (int q = 0; q < kQueries; ++q) {
      const int position = first + Lane(), query_end = tile.End(a, tile.first + q);
      const bool attends =
          position < min(end, query_end) && (a.window <= 0 || position >= query_end - a.window);
      if (!attends) scores[q] = kNoScore;
    }
    Gather(rows->values, first, rows->value_rows, scores, gathered);
    // Keys and values together: a wait for any load is one for all loads in flight (ptx.cuh).
    if (next < end) rows->LoadAhead(next);
  }
}

// Element d of the output of query u.
__device__ __forceinline__ void WriteOutput(const Arguments& a, const Tile& tile, int kv_head,
                                            int u, int d, float value) {
  if (u >= tile.count) return;
  const int64_t row = static_cast<int64_t>(blockIdx.z) * a.tokens + u / a.group;
  const int64_t head = kv_head * a.group + u % a.group;
  StoreElement(a.out, row, head * a.cache.head_dim + d, value);
}

// Adds up the warps' results: to the output, or, of several splits, to the workspace, from which
// the block that finishes last adds up the splits.
template <int kQueries>
__device__ __forceinline__ void CombineResults(const Arguments& a, const Tile& tile,
                                               const Split& split, int kv_head,
                                               const float* of_warps) {
  const int head_dim = static_cast<int>(a.cache.head_dim), thread = static_cast<int>(threadIdx.x);
  const int64_t flat = static_cast<int64_t>(blockIdx.z) * gridDim.y + blockIdx.y;
  float* const parts = a.partial + flat * split.most * PartFloats(kQueries, head_dim);
#pragma unroll 1
  for (int i = thread; i < kQueries * head_dim; i += kThreads) {
    const int q = i / head_dim, d = i % head_dim;
    float greatest, sum;
    const float value = AddParts(
        of_warps, kWarps, kQueries, head_dim, q, d, [](const float* at) { return *at; }, &greatest,
        &sum);
    if (split.count == 1) {
      WriteOutput(a, tile, kv_head, tile.first + q, d, value / sum);
      continue;
    }
    float* const part = parts + split.index * PartFloats(kQueries, head_dim);
    part[i] = value;
    if (d == 0) {
      part[kQueries * head_dim + q] = greatest;
      part[kQueries * (head_dim + 1) + q] = sum;
    }
  }
  if (split.count == 1 || !LastBlock(a.counters + flat, split.count)) return;
#pragma unroll 1
  for (int i = thread; i < kQueries * head_dim; i += kThreads) {
    const int q = i / head_dim, d = i % head_dim;
    float greatest, sum;
    const float value = AddParts(
        parts, split.count, kQueries, head_dim, q, d, [](const float* at) { return __ldcg(at); },
        &greatest, &sum);
    WriteOutput(a, tile, kv_head, tile.first + q, d, value / sum);
  }
}

// kChunks: 16-byte vectors of a key that one lane takes, at most.
template <int kQueries, int kChunks>
__global__ void __launch_bounds__(kThreads) AttendKernel(Arguments a) {
  LetNextStart();
  // Before WaitForPrevious only what this step does not write is read: the number of positions of
  // the steps before, and their keys and values.
  const int length = __ldcg(a.length);
  const int kv_heads = static_cast<int>(a.cache.kv_heads);
  const int kv_head = static_cast<int>(blockIdx.y) % kv_heads;
  const Tile tile(a, static_cast<int>(blockIdx.y) / kv_heads, kQueries, length);
  const Split split(tile);
  if (split.index >= split.count) return;

  const int warp = WarpOfBlock();
  float* const queries = reinterpret_cast<float*>(DynamicShared());
  const int first = split.begin + warp * kWarpPositions;
  const bool all_old = first + kWarpPositions <= length, has_rope = a.rope.qkv.data != nullptr;
  WarpRows<kQueries, kChunks> rows(a, kv_head, split.end);
  if (first < split.end && all_old) rows.LoadAhead(first);
  BlockRope<kQueries, kChunks> block_rope;
  if (has_rope) block_rope.LoadAhead(a, tile, kv_head, split.end == tile.end, warp);
  WaitForPrevious();
  if (has_rope) {
    block_rope.Apply(a, tile, kv_head, warp, queries);
  } else {
    StageQueries<kQueries, kChunks>(a, tile, kv_head, queries);
  }
  __syncthreads();
  if (first < split.end && !all_old) rows.LoadAhead(first);

  Gathered<kQueries> gathered = {};
  GatherSplit<kQueries, kChunks>(a, tile, split.end, first, queries, &rows, &gathered);
  const int head_dim = static_cast<int>(a.cache.head_dim);
  float* const of_warps = queries + kQueries * kDims<kChunks>;
  WriteWarp<kQueries, ValueRows<kQueries, kChunks>::kLanesARow>(
      gathered, head_dim, of_warps + warp * PartFloats(kQueries, head_dim));
  __syncthreads();
  CombineResults<kQueries>(a, tile, split, kv_head, of_warps);
}

// Dims of a query in shared memory: as many as the vectors of its instance hold.
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
  plan.splits = std::min(
      {CeilDivide(blocks_wanted, plan.blocks), CeilDivide(cache.capacity, kMinSplit), kMaxSplits});
  plan.partial =
      plan.splits == 1 ? 0 : plan.blocks * plan.splits * plan.queries * (cache.head_dim + 2);
  return plan;
}

void Attend(const Queue& queue, const AttentionPlan& plan, const CudaMatrix& qkv,
            const Cache& cache, int64_t window, const int32_t* length,
            const AttentionScratch& space, const CudaMatrix& out, const RopeArguments* rope) {
  SQ_DCHECK(rope == nullptr || plan.tokens == 1);
  SQ_DCHECK(cache.head_dim % 8 == 0 && cache.head_dim <= kMaxHeadDim);
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
  if (rope != nullptr) arguments.rope = *rope;
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(plan.splits), static_cast<unsigned>(cache.kv_heads * plan.tiles),
           static_cast<unsigned>(plan.batch));
  shape.block = dim3(kThreads);
  shape.shared_bytes = static_cast<int64_t>(sizeof(float)) * plan.queries *
                       (PaddedDim(cache.head_dim) + kWarps * (cache.head_dim + 2));
  shape.pdl = queue.pdl;
  Launch("attention", shape, queue.stream, KernelFor(plan.queries, cache.head_dim), arguments);
}

}  // namespace sq::cuda
