// The LUT-GEMV kernel: y = W x for up to kTokens tokens, bound by the memory that the codes come
// from.
//
//   - An item (lut_gemv.h) is a thread block's; its warps share out the units of inputs, and a warp
//   goes its own way until the sums: no barrier between.
//   - Codes come by 128-bit loads, a unit ahead, past the first-level cache, each once; the next
//   item's before this one's sums.
//   - What codes stand for: codec.cuh. Products by tensor cores, of fp16 exact, sums fp32; columns
//   are tokens.
//   - x goes through the warp's own part of shared memory, the next inputs on their way meanwhile.
//   - The outliers (sparse.cuh) belong to the item that has a row's first unit.
//   - Sums of warps, then of items, are added in a fixed order: no float atomics, the same bits
//   every time.
//   - With programmatic dependent launch a block has its codes on their way, and its tables, before
//   it waits for x.
#pragma once

#include "kernels/cuda/codec.cuh"
#include "kernels/cuda/sparse.cuh"

namespace sq::cuda {

template <int kBits, int kTokens, int kTiles>
struct GemvShape {
  static constexpr int kRows = kTiles * kTileRows;
  static constexpr int kValues = kRows * kTokens;
  static constexpr int kColumns = (kTokens + 7) / 8;  // products a fragment
  static constexpr int kBlocks = kTiles == 1 && kTokens <= 2 ? GV_BLOCKS : kTiles == 1 && kTokens <= 8 ? 2 : 1;  // a multiprocessor's
  static constexpr int kQueue = kTokens <= 2 ? GV_QUEUE : 1;  // units of a warp whose codes are on their way
  // Inputs of x that a warp has in shared memory. A token's stand so far apart that two tokens'
  // reads of 64 bytes meet in no bank. The warp's sums take their place.
  static constexpr int kStage = kTokens <= 2 ? kUnitInputs : kGroupInputs;
  static constexpr int kXStride = kStage * 2 + 64;
  static constexpr int kXBytes = kTokens * kXStride, kSumsBytes = kValues * 4;
  static constexpr int kWarpBytes = kXBytes > kSumsBytes ? kXBytes : kSumsBytes;
  static constexpr int kWarpsAt = kTiles * Codec<kBits>::kTableBytes;  // offsets in bytes
  static constexpr int kLastAt = kWarpsAt + kGemvWarps * kWarpBytes;
  static constexpr int kBytes = kLastAt + 16;
};

// Inputs of x on their way to shared memory, for one warp.
template <int kTokens, int kStage, int kXStride>
struct StagedX {
  static constexpr int kAtOnce = 8;  // halves of a load
  static constexpr int kLoads = kTokens * kStage / kAtOnce / kLanes;
  uint4 words[kLoads];

  // Inputs [begin, begin + kStage); 0 beyond the layer's inputs and tokens.
  __device__ __forceinline__ void Load(const GemvArguments& a, int begin) {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const unsigned at = (threadIdx.x % kLanes + i * kLanes) * kAtOnce;
      const int token = static_cast<int>(at / kStage);
      const int column = begin + static_cast<int>(at % kStage);
      words[i] = {0, 0, 0, 0};
      if (token < a.tokens && column < a.layer.inputs) {
        words[i] = *reinterpret_cast<const uint4*>(a.x + token * a.x_stride + column);
      }
    }
  }
  __device__ __forceinline__ void Store(unsigned char* to) const {
#pragma unroll
    for (int i = 0; i < kLoads; ++i) {
      const unsigned at = (threadIdx.x % kLanes + i * kLanes) * kAtOnce;
      *reinterpret_cast<uint4*>(to + at / kStage * kXStride + at % kStage * 2) = words[i];
    }
  }
};

// Codes of one unit that a warp has on their way.
template <int kBits, int kTiles>
struct UnitCodes {
  uint32_t words[kTiles][4 * kBits];

  // Load `load` of the unit at `at`, for tiles that lie tile_stride apart.
  template <int load>
  __device__ __forceinline__ void Load(const uint4* at, int tile_stride) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      const uint4 loaded = LoadOnce(at + t * tile_stride + load * kLanes);
      words[t][4 * load] = loaded.x, words[t][4 * load + 1] = loaded.y;
      words[t][4 * load + 2] = loaded.z, words[t][4 * load + 3] = loaded.w;
    }
  }
  __device__ __forceinline__ void LoadAll(const uint4* at, int tile_stride) {
    Load<0>(at, tile_stride);
    Load<1>(at, tile_stride);
    Load<2>(at, tile_stride);
    if constexpr (kBits == 4) Load<3>(at, tile_stride);
  }
  // The loads whose last word belongs to `group`, which has been used up.
  template <int group>
  __device__ __forceinline__ void Refill(const uint4* at, int tile_stride) {
    if constexpr (3 / kBits == group) Load<0>(at, tile_stride);
    if constexpr (7 / kBits == group) Load<1>(at, tile_stride);
    if constexpr (11 / kBits == group) Load<2>(at, tile_stride);
    if constexpr (kBits == 4 && group == 3) Load<3>(at, tile_stride);
  }
};

// What turns a sum into an element of y, loaded ahead.
struct Finish {
  float scale = 0, offset = 0;

  // After WaitForPrevious, which `add` may be of.
  __device__ __forceinline__ void Load(const GemvArguments& a, int row, int token) {
    if (row >= a.layer.rows || token >= a.tokens) return;
    scale = a.layer.row_scale[row] * a.x_scale;
    offset = a.layer.bias == nullptr ? 0 : a.layer.bias[row];
    if (a.add.data != nullptr) offset += LoadElement(a.add, token, row);
  }
  __device__ __forceinline__ void Store(const GemvArguments& a, int row, int token,
                                        float sum) const {
    if (row >= a.layer.rows || token >= a.tokens) return;
    StoreElement(a.y, token, row, sum * scale + offset);
  }
};

// Adds up what the block's warps have for an item, and the item's parts if it is the last of them.
// `first` is of the thread's first value.
template <typename Shape, int kTokens>
__device__ __forceinline__ void FinishItem(const GemvArguments& a, int row_group,
                                           const Finish& first, unsigned char* shared) {
  const float* const warp_sums = reinterpret_cast<const float*>(shared + Shape::kWarpsAt);
  const auto finish = [&](unsigned i, float sum) {
    const int row = row_group * Shape::kRows + static_cast<int>(i / kTokens);
    const int token = static_cast<int>(i % kTokens);
    Finish own = first;
    if (i != threadIdx.x) own.Load(a, row, token);
    own.Store(a, row, token, sum);
  };
  const int splits = static_cast<int>(gridDim.y), split = static_cast<int>(blockIdx.y);
  float* const parts = a.partials + static_cast<int64_t>(row_group) * splits * Shape::kValues;
  for (unsigned i = threadIdx.x; i < Shape::kValues; i += kGemvThreads) {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kGemvWarps; ++w) sum += warp_sums[w * (Shape::kWarpBytes / 4) + i];
    if (splits == 1) {
      finish(i, sum);
    } else {
      parts[split * Shape::kValues + i] = sum;
    }
  }
  if (splits == 1) return;
  int* const last = reinterpret_cast<int*>(shared + Shape::kLastAt);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    const auto others = static_cast<unsigned>(splits - 1);
    *last = atomicInc(a.arrived + row_group, others) == others;  // and is zero again
  }
  __syncthreads();
  if (*last == 0) return;
  __threadfence();
  for (unsigned i = threadIdx.x; i < Shape::kValues; i += kGemvThreads) {
    float sum = 0;
    for (int s = 0; s < splits; ++s) sum += LoadFresh(parts + s * Shape::kValues + i);
    finish(i, sum);
  }
}

template <int kBits, int kTokens, int kTiles, bool kKnownWindow>
struct GemvWarp {
  using Shape = GemvShape<kBits, kTokens, kTiles>;
  // Of accumulators, in turn, where one would wait for itself.
  static constexpr int kSets = kTiles * Shape::kColumns == 1 ? 2 : 1;

  float sums[kSets][kTiles][Shape::kColumns][4];
  uint32_t b[Shape::kColumns][4];  // x of two steps; zero for ever in lanes that have no token
  bool mine[Shape::kColumns];
  uint32_t lane_address, window;

  __device__ __forceinline__ void Start(const unsigned char* shared) {
    lane_address = 4 * static_cast<uint32_t>(Lane());
    window = SharedAddress(shared);
#pragma unroll
    for (int c = 0; c < Shape::kColumns; ++c) {
      mine[c] = 8 * c + Lane() / 4 < kTokens;
#pragma unroll
      for (int i = 0; i < 4; ++i) b[c][i] = 0;
    }
  }
  __device__ __forceinline__ void Clear() {
#pragma unroll
    for (int s = 0; s < kSets; ++s) {
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
#pragma unroll
        for (int c = 0; c < Shape::kColumns; ++c) {
#pragma unroll
          for (int i = 0; i < 4; ++i) sums[s][t][c][i] = 0;
        }
      }
    }
  }

  // Step `step` of a tile; b has its x.
  template <int step, int tile>
  __device__ __forceinline__ void MultiplyStep(uint32_t bytes) {
    using Pairs = Codec<kBits>;
    const uint32_t a[4] = {Pairs::template Pair<0, tile, kKnownWindow>(bytes, lane_address, window),
                           Pairs::template Pair<1, tile, kKnownWindow>(bytes, lane_address, window),
                           Pairs::template Pair<2, tile, kKnownWindow>(bytes, lane_address, window),
                           Pairs::template Pair<3, tile, kKnownWindow>(bytes, lane_address, window)};
#pragma unroll
    for (int c = 0; c < Shape::kColumns; ++c) {
      MultiplyAdd(sums[step % kSets][tile][c], a, {b[c][step % 2 * 2], b[c][step % 2 * 2 + 1]});
    }
  }
  template <int half>
  __device__ __forceinline__ void MultiplyHalf(const uint32_t (&steps)[kTiles][kSteps], uint32_t x) {
#pragma unroll
    for (int c = 0; c < Shape::kColumns; ++c)
      LoadSharedIf(mine[c], x + 8 * c * Shape::kXStride + 64 * half, b[c]);
    MultiplyStep<2 * half, 0>(steps[0][2 * half]);
    if constexpr (kTiles == 2) MultiplyStep<2 * half, 1>(steps[1][2 * half]);
    MultiplyStep<2 * half + 1, 0>(steps[0][2 * half + 1]);
    if constexpr (kTiles == 2) MultiplyStep<2 * half + 1, 1>(steps[1][2 * half + 1]);
  }
  // Group `group` of a unit; x: the address of this lane's 8 inputs of its first half.
  template <int group>
  __device__ __forceinline__ void MultiplyGroup(const UnitCodes<kBits, kTiles>& codes, uint32_t x) {
    uint32_t steps[kTiles][kSteps];
#pragma unroll
    for (int t = 0; t < kTiles; ++t) Codec<kBits>::Steps(codes.words[t] + group * kBits, steps[t]);
    MultiplyHalf<0>(steps, x);
    MultiplyHalf<1>(steps, x);
  }

  // To out [rows][kTokens].
  __device__ __forceinline__ void StoreSums(float* out) const {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int c = 0; c < Shape::kColumns; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int row = t * kTileRows + i / 2 * 8 + Lane() / 4;
          const int token = 8 * c + Lane() % 4 * 2 + i % 2;
          float sum = sums[0][t][c][i];
          if constexpr (kSets == 2) sum += sums[1][t][c][i];
          if (token < kTokens) out[row * kTokens + token] = sum;
        }
      }
    }
  }
};

template <int kBits, int kTokens, int kTiles, bool kKnownWindow>
__global__ void __launch_bounds__(kGemvThreads, GemvShape<kBits, kTokens, kTiles>::kBlocks)
    LutGemvKernel(GemvArguments a) {
  using Shape = GemvShape<kBits, kTokens, kTiles>;
  constexpr int kStages = kUnitInputs / Shape::kStage;  // of a unit
  constexpr int kQueue = Shape::kQueue;
  constexpr int kWarpStride = kGemvWarps * kBits * kLanes;  // from a warp's unit to its next
  unsigned char* const shared = DynamicShared();
  const int warp = static_cast<int>(threadIdx.x / kLanes);
  unsigned char* const own = shared + Shape::kWarpsAt + warp * Shape::kWarpBytes;
  // Of this lane's inputs of the warp's x.
  const uint32_t own_x = SharedAddress(own) + threadIdx.x % kLanes / 4 * Shape::kXStride +
                         threadIdx.x % 4 * 16;
  const int units = static_cast<int>(static_cast<unsigned>(a.layer.padded_inputs) / kUnitInputs);
  const int row_groups = static_cast<int>(
      (static_cast<unsigned>(a.layer.rows) + Shape::kRows - 1) / Shape::kRows);
  const int tile_stride = units * kBits * kLanes;
  const int begin = a.part_units * static_cast<int>(blockIdx.y) + warp;
  const int end = min(units, a.part_units * static_cast<int>(blockIdx.y + 1));
  const bool sparse = a.layer.sparse_begin != nullptr && blockIdx.y == 0;
  LetNextStart();

  int group = static_cast<int>(blockIdx.x);
  // Where the codes of the warp's first unit are.
  const auto codes_of = [&](int of_group) {
    return reinterpret_cast<const uint4*>(
        a.layer.codes + CodeWords(kBits, a.layer.padded_inputs, of_group * kTiles, begin, Lane()));
  };
  const uint4* at = codes_of(group);
  UnitCodes<kBits, kTiles> codes[kQueue] = {};
#pragma unroll
  for (int q = 0; q < kQueue; ++q) {
    if (begin + q * kGemvWarps < end) codes[q].LoadAll(at + q * kWarpStride, tile_stride);
  }
  TableBuilder<kBits, kTiles> tables;
  tables.Load(a.layer, group * kTiles);
  SparseTile<kTokens> outliers;
  if (sparse && kTokens == 1) {
    outliers.Find(a.layer, group);
    outliers.Fetch(a.layer);
  }
  GemvWarp<kBits, kTokens, kTiles, kKnownWindow> products;
  products.Start(shared);
  StagedX<kTokens, Shape::kStage, Shape::kXStride> x;
  bool first = true;
  while (group < row_groups) {
    tables.Build(shared);
    __syncthreads();  // tables are there; the last item's sums have been read
    const int next_group = group + static_cast<int>(gridDim.x);
    if (first) {
      WaitForPrevious();
      x.Load(a, begin < end ? begin * kUnitInputs : a.layer.inputs);
      first = false;
    }
    if (sparse && kTokens == 1) outliers.MultiplyHeld(a.x);
    if (next_group < row_groups) tables.Load(a.layer, next_group * kTiles);
    Finish finish;
    if (threadIdx.x < Shape::kValues) {
      finish.Load(a, group * Shape::kRows + static_cast<int>(threadIdx.x / kTokens),
                  static_cast<int>(threadIdx.x % kTokens));
    }
    products.Clear();
    const uint4* const next_at = codes_of(next_group);
    const bool next = next_group < row_groups;
    for (int unit = begin; unit < end;) {
#pragma unroll
      for (int q = 0; q < kQueue; ++q, unit += kGemvWarps, at += kWarpStride) {
        if (unit >= end) break;
        const bool more = unit + kGemvWarps < end;
        const auto stage = [&](int number) {
          __syncwarp();  // the last inputs have been read
          x.Store(own);
          __syncwarp();
          const bool in_unit = number + 1 < kStages;
          x.Load(a, in_unit ? unit * kUnitInputs + (number + 1) * Shape::kStage
                            : (more ? unit + kGemvWarps : begin) * kUnitInputs);
        };
        // What this unit's codes are replaced by.
        const bool again = unit + kQueue * kGemvWarps < end;
        const uint4* const from = again ? at + kQueue * kWarpStride : next_at + q * kWarpStride;
        const bool refill = again || next;
        constexpr uint32_t kGroupBytes = kStages == 1 ? kGroupInputs * 2 : 0;
        stage(0);
        products.template MultiplyGroup<0>(codes[q], own_x);
        if (refill) codes[q].template Refill<0>(from, tile_stride);
        if (kStages > 1) stage(1); else __syncwarp();
        products.template MultiplyGroup<1>(codes[q], own_x + kGroupBytes);
        if (refill) codes[q].template Refill<1>(from, tile_stride);
        if (kStages > 1) stage(2); else __syncwarp();
        products.template MultiplyGroup<2>(codes[q], own_x + 2 * kGroupBytes);
        if (refill) codes[q].template Refill<2>(from, tile_stride);
        if (kStages > 1) stage(3); else __syncwarp();
        products.template MultiplyGroup<3>(codes[q], own_x + 3 * kGroupBytes);
        if (refill) codes[q].template Refill<3>(from, tile_stride);
      }
    }
    at = next_at;
    __syncwarp();
    auto* const sums = reinterpret_cast<float*>(own);
    products.StoreSums(sums);
    __syncwarp();
    if (sparse) {
#pragma unroll
      for (int t = 0; t < kTiles; ++t) {
        if (kTokens > 1) outliers.Find(a.layer, group * kTiles + t);
        outliers.AddTo(a, sums + t * kTileRows * kTokens);
      }
      if (kTokens == 1 && next) {
        outliers.Find(a.layer, next_group);
        outliers.Fetch(a.layer);
      }
    }
    __syncthreads();  // and the tables are free
    FinishItem<Shape, kTokens>(a, group, finish, shared);
    group = next_group;
  }
}

template <int kBits, int kTokens, int kTiles>
void LaunchGemv(const GemvArguments& arguments, dim3 grid, bool window_known, bool overlap,
                cudaStream_t stream) {
  LaunchShape shape;
  shape.grid = grid;
  shape.block = dim3(kGemvThreads);
  shape.shared_bytes = GemvShape<kBits, kTokens, kTiles>::kBytes;
  shape.overlap = overlap;
  Launch("LUT-GEMV", shape, stream,
         window_known ? LutGemvKernel<kBits, kTokens, kTiles, true>
                      : LutGemvKernel<kBits, kTokens, kTiles, false>,
         arguments);
}

}  // namespace sq::cuda
