// The LUT-GEMV kernel: y = W x for up to kTokens tokens, bound by the memory that the codes come
// from.
//
//   - A thread block takes one group of rows (lut_gemv.h) after another; its warps share out the
//   units of inputs, and a warp goes its own way until the sums: no barrier between. Two tiles and
//   16 warps, or one and 8 where shared memory is small.
//   - Codes come by copies of 128 bits into the warp's own part of shared memory (CodeRing), half a
//   unit to two units ahead, also those of the next group; each lane reads what it has copied.
//   Loads into registers would wait for one another (ptx.cuh).
//   - What codes stand for: codec.cuh. Products by tensor cores, of fp16 exact, sums fp32; columns
//   are tokens.
//   - x goes through the warp's own part of shared memory too, the next inputs on their way
//   meanwhile, and stays there where the warp's inputs are few.
//   - The outliers of a unit (sparse.cuh) come on top of it.
//   - Tables, scales and where outliers are: two groups ahead to the second-level cache, tables one
//   group ahead to registers, scales at the group's beginning. For one token and 3 bits tables are
//   in shared memory twice, and warps go on to the next group's before all are done.
//   - Sums of warps, then of parts, are added in a fixed order: no float atomics, the same bits
//   every time.
//   - With programmatic dependent launch a block has its codes on their way, and its tables, before
//   it waits for x.
#pragma once

#include "kernels/cuda/matmul/codec.cuh"
#include "kernels/cuda/matmul/gemv_ends.cuh"
#include "kernels/cuda/matmul/sparse.cuh"

namespace sq::cuda {

template <int kBits, int kTokens, int kTiles, int kWarps>
struct GemvShape {
  static constexpr int kThreads = kWarps * kLanes;
  static constexpr int kRows = kTiles * kTileRows;
  static constexpr int kValues = kRows * kTokens;
  static constexpr int kColumns = (kTokens + 7) / 8;  // products a fragment
  // Whether a warp builds its share of the next group's tables as soon as it is done with a group,
  // beside others that are still at work, and leaves its sums to be added up meanwhile: where there
  // is room for the tables twice.
  static constexpr bool kAhead = kTokens == 1 && kBits == 3 && kWarps == 16;
  static constexpr int kBuffers = kAhead ? 2 : 1;  // of tables and sums
  // That a multiprocessor has registers for.
  static constexpr int kBlocks = kTokens > 8 || kWarps == 16 ? 1 : kTokens > 1 || kBits > 3 ? 2 : 4;
  // Inputs of x that a warp has in shared memory. A token's stand so far apart that two tokens'
  // reads of 64 bytes meet in no bank.
  static constexpr int kHeldInputs =
      kBits > 3 || kTokens > 8 ? 1024 : kTiles * 1024;  // of all tokens
  static constexpr int kStage =
      kHeldInputs / kTokens < kUnitInputs ? kHeldInputs / kTokens : kUnitInputs;
  static constexpr int kXStride = kStage * 2 + 64;
  static constexpr int kXBytes = kTokens * kXStride, kSumsBytes = kValues * 4;
  // Chunks of codes: a unit of them; half of one where the tables leave too little room, two where
  // there is more.
  static constexpr int kRing = kTokens == 1 ? (kBits > 3 ? 4 : 6) : (kBits > 3 ? 2 : 3);
  using Codes = CodeRing<kBits, kTiles, kRing>;
  // Units of x that stay for all groups of rows where a warp has no more. Else sums take its place.
  static constexpr int kStayingUnits = kTokens == 1 ? Codes::kUnits : 0;
  // In a warp's part.
  static constexpr int kSumsAt = kStayingUnits * kXBytes;
  static constexpr int kXOrSumsBytes = kXBytes > kSumsBytes ? kXBytes : kSumsBytes;
  static constexpr int kAllSumsBytes = kBuffers * kSumsBytes;
  static constexpr int kOctetsAt = kStayingUnits > 0 ? kSumsAt + kAllSumsBytes : kXOrSumsBytes;
  static constexpr int kCodesAt = kOctetsAt + HeldOutliers<kTiles>::kBytes;
  static constexpr int kWarpBytes = kCodesAt + Codes::kBytes;
  static constexpr int kTablesBytes = kTiles * Codec<kBits>::kTableBytes;
  static constexpr int kWarpsAt =  // offsets in bytes
      kTablesBytes + (kBuffers - 1) * static_cast<int>(Codec<kBits>::kBufferBytes);
  static constexpr int kLastAt = kWarpsAt + kWarps * kWarpBytes;
  static constexpr int kBytes = kLastAt + 16;
};

template <int kBits, int kTokens, int kTiles, typename Shape>
struct GemvWarp {
  float sums[kTiles][Shape::kColumns][4];
  uint32_t b[Shape::kColumns][4];  // x of two steps; zero for ever in lanes that have no token
  bool mine[Shape::kColumns];
  uint32_t lane_address;  // and the buffer of tables

  __device__ __forceinline__ void Start() {
    lane_address = 4 * static_cast<uint32_t>(Lane());
#pragma unroll
    for (int c = 0; c < Shape::kColumns; ++c) {
      mine[c] = 8 * c + Lane() / 4 < kTokens;
#pragma unroll
      for (int i = 0; i < 4; ++i) b[c][i] = 0;
    }
  }
  __device__ __forceinline__ void Clear() {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int c = 0; c < Shape::kColumns; ++c) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[t][c][i] = 0;
      }
    }
  }

  // Step `step` of a tile; b has its x.
  template <int step, int tile>
  __device__ __forceinline__ void MultiplyStep(uint32_t bytes) {
    using Pairs = Codec<kBits>;
    const uint32_t a[4] = {
        Pairs::template Pair<0, tile>(bytes, lane_address),
        Pairs::template Pair<1, tile>(bytes, lane_address),
        Pairs::template Pair<2, tile>(bytes, lane_address),
        Pairs::template Pair<3, tile>(bytes, lane_address),
    };
#pragma unroll
    for (int c = 0; c < Shape::kColumns; ++c) {
      MultiplyAdd(sums[tile][c], a, {b[c][step % 2 * 2], b[c][step % 2 * 2 + 1]});
    }
  }
  // Steps `step` and `step` + 1 of group `group` of a unit; x: the address of this lane's 8 inputs.
  template <int group, int step>
  __device__ __forceinline__ void MultiplyTwo(const uint32_t (&codes)[kTiles][4 * kBits],
                                              uint32_t x) {
    using Pairs = Codec<kBits>;
    constexpr int kWord = group * kBits;
#pragma unroll
    for (int c = 0; c < Shape::kColumns; ++c)
      LoadSharedIf(mine[c], x + 8 * c * Shape::kXStride, b[c]);
    MultiplyStep<step, 0>(Pairs::template Step<step>(codes[0] + kWord));
    if constexpr (kTiles == 2) MultiplyStep<step, 1>(Pairs::template Step<step>(codes[1] + kWord));
    MultiplyStep<step + 1, 0>(Pairs::template Step<step + 1>(codes[0] + kWord));
    if constexpr (kTiles == 2)
      MultiplyStep<step + 1, 1>(Pairs::template Step<step + 1>(codes[1] + kWord));
  }
  // Group `group` of a unit; x: the address of this lane's 8 inputs of its first half.
  template <int group>
  __device__ __forceinline__ void MultiplyGroup(const uint32_t (&codes)[kTiles][4 * kBits],
                                                uint32_t x) {
    MultiplyTwo<group, 0>(codes, x);
    MultiplyTwo<group, 2>(codes, x + 64);
  }

  // A tile's outliers of a unit whose stage `stage` is in shared memory at x. held: where its first
  // octets are, also afterwards if there is a next stage.
  template <int stage, int tile>
  __device__ __forceinline__ void MultiplyOctets(const LayerView& layer, const OctetRange& range,
                                                 uint32_t held, uint32_t x) {
    constexpr bool kLast = (stage + 1) * Shape::kStage == kUnitInputs;
    OctetRange left = range;
    while (true) {
      const int32_t count = min(left.end - left.begin, kHeldOctets);
#pragma unroll 1  // few at a time
      for (int32_t octet = 0; octet < count; ++octet) {
        const OctetFragments<Shape::kStage> fragments(held + octet * kOctetBytes);
        uint32_t a[2];
        fragments.A(stage, a);
        if (Shape::kStage < kUnitInputs && __any_sync(kWholeWarp, (a[0] | a[1]) != 0) == 0)
          continue;  // all of another stage
#pragma unroll
        for (int c = 0; c < Shape::kColumns; ++c)
          MultiplyAdd(sums[tile][c], a, fragments.B(x + 8 * c * Shape::kXStride));
      }
      left.begin += count;
      const bool more = left.begin < left.end;
      if (!more && (kLast || range.end - range.begin <= kHeldOctets)) break;
      __syncwarp();  // they have been read
      FetchOctets(layer, {more ? left.begin : range.begin, range.end}, held);
      WaitForAllCopies();
      __syncwarp();
      if (!more) break;
    }
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
          if (token < kTokens) out[row * kTokens + token] = sums[t][c][i];
        }
      }
    }
  }
};

template <int kBits, int kTokens, int kTiles, int kWarps>
__global__ void __launch_bounds__(kWarps* kLanes,
                                  (GemvShape<kBits, kTokens, kTiles, kWarps>::kBlocks))
    LutGemvKernel(GemvArguments a) {
  using Shape = GemvShape<kBits, kTokens, kTiles, kWarps>;
  constexpr int kStages = kUnitInputs / Shape::kStage;  // of a unit
  constexpr int kStageGroups = kUnitGroups / kStages;
  unsigned char* const shared = DynamicShared();
  const int warp = static_cast<int>(threadIdx.x / kLanes);
  unsigned char* const own = shared + Shape::kWarpsAt + warp * Shape::kWarpBytes;
  // Of the token of this lane in the warp's x.
  const uint32_t own_token =
      SharedAddress(own) + threadIdx.x % kLanes / 4 % kTokens * Shape::kXStride;
  const int units = static_cast<int>(static_cast<unsigned>(a.layer.padded_inputs) / kUnitInputs);
  const WarpUnits<kBits, kTiles, kWarps> mine(a, units, warp);
  const bool x_stays = Shape::kStayingUnits > 0 && mine.count <= Shape::kStayingUnits;
  const bool sparse = a.layer.octet_begin != nullptr;
  const int first_group = static_cast<int>(blockIdx.x), grid = static_cast<int>(gridDim.x);
  const auto is_group = [&](int number) { return number * Shape::kRows < a.layer.rows; };
  LetNextStart();
  if (SharedAddress(shared) != kSharedWindow) Trap();  // known when this is compiled

  // The unit at work, and the next to ask for.
  auto at = mine.Begin(a.layer, first_group), ahead = at;
  typename Shape::Codes codes(SharedAddress(own) + Shape::kCodesAt);
#pragma unroll
  for (int i = 0; i < Shape::Codes::kUnits; ++i) {
    codes.FetchFirst(mine.count > 0 && is_group(ahead.group), ahead.codes, mine.tile_stride);
    codes.Turn();
    mine.Advance(&ahead);
  }
  TableBuilder<kBits, kTiles, Shape::kThreads> tables;
  tables.Load(a.layer, first_group * kTiles);
  HeldOutliers<kTiles> outliers(SharedAddress(own) + Shape::kOctetsAt);
  const auto find_outliers = [&](int group) {
    outliers.FindNext(a.layer, group * kTiles, units, mine.first, kWarps, mine.count);
  };
  if (sparse) {
    find_outliers(first_group);
    outliers.FetchNext(a.layer, 0, true);
    CommitCopies();
    outliers.NextUnit();
  }
  const auto expect = [&](int group) {
    if (is_group(group))
      ExpectGroup<Shape::kRows, kTiles, Shape::kRows*(2 << kBits)>(a, group, units);
  };
  expect(first_group);
  expect(first_group + grid);
  GemvWarp<kBits, kTokens, kTiles, Shape> products;
  products.Start();
  StagedX<kTokens, Shape::kStage, Shape::kXStride> x;
  // Where x of a unit is in the warp's part; a stage of it to there, and the next on its way.
  const auto x_at = [&](int number) {
    return Shape::kStayingUnits > 1 && x_stays && number > 0 ? Shape::kXBytes : 0;
  };
  const auto stage_x = [&](auto stage, int number) {
    constexpr int kNext = decltype(stage)::value + 1;
    x.Store(own + x_at(number));
    __syncwarp();
    if (kNext < kStages) {
      x.Load(a, (mine.first + kWarps * number) * kUnitInputs + kNext * Shape::kStage);
    } else {
      x.Load(a, (mine.first + kWarps * (mine.IsLast(number) ? 0 : number + 1)) * kUnitInputs);
    }
  };
  // What buffer a group has, its tables and sums; and a group's end, once all have left their sums.
  int buffer = 0;
  Finish finish;
  const auto finish_group = [&](int group, int of_buffer) {
    static_assert(Shape::kValues <= Shape::kThreads);
    float sum = 0;
    if (threadIdx.x < Shape::kValues) {
      const float* const sums = reinterpret_cast<const float*>(
          shared + Shape::kWarpsAt + Shape::kSumsAt + of_buffer * Shape::kSumsBytes);
#pragma unroll
      for (int w = 0; w < kWarps; ++w) sum += sums[w * (Shape::kWarpBytes / 4) + threadIdx.x];
    }
    FinishGroup<kTokens>(a, group, Shape::kValues, sum, finish,
                         reinterpret_cast<int*>(shared + Shape::kLastAt));
  };
  bool first_unit = true;
  if (Shape::kAhead) tables.Build(shared);
  int group = first_group;
  for (; is_group(group); group += grid) {
    if (!Shape::kAhead) tables.Build(shared);
    outliers.NextGroup();
    const bool next = is_group(group + grid), have_x = x_stays && group != first_group;
    if (next && sparse) find_outliers(group + grid);
    __syncthreads();  // tables are there; the last group's sums too, or have been read
    if (Shape::kAhead && group != first_group) finish_group(group - grid, buffer ^ 1);
    if (group == first_group) {
      WaitForPrevious();
      x.Load(a, mine.count > 0 ? mine.first * kUnitInputs : a.layer.inputs);
      if (sparse && kStages > 1) WaitForAllCopies();  // the first octets
    }
    if (mine.count > 0 && !have_x) stage_x(Constant<0>(), 0);
    if (next) {  // after x is stored, which would have to wait for it
      tables.Load(a.layer, (group + grid) * kTiles);
      expect(group + 2 * grid);
    }
    finish = Finish();
    if (threadIdx.x < Shape::kValues) {
      finish.Load(a, group * Shape::kRows + static_cast<int>(threadIdx.x / kTokens),
                  static_cast<int>(threadIdx.x % kTokens));
    }
    products.Clear();
    for (int number = 0; number < mine.count; ++number) {
      const bool last = mine.IsLast(number), is_ahead = is_group(ahead.group);
      const uint32_t token = own_token + x_at(number);
      uint32_t words[kTiles][4 * kBits];
      const auto multiply_group = [&](auto group_in_unit) {
        constexpr int kGroup = decltype(group_in_unit)::value;
        constexpr int kStage = kGroup / kStageGroups, kInStage = kGroup % kStageGroups;
        if constexpr (kGroup < kBits) codes.template Take<kGroup>(words);
        if constexpr (kInStage == 0) __syncwarp();  // the last inputs and octets have been read
        if (kGroup == 0 && sparse) outliers.FetchNext(a.layer, number, last);
        if (kInStage == 0 && !have_x && (kStage > 0 || number > 0))
          stage_x(Constant<kStage>(), number);
        products.template MultiplyGroup<kGroup>(
            words, token + threadIdx.x % 4 * 16 + kInStage * kGroupInputs * 2);
        if constexpr (kGroup < kBits)
          codes.template Replace<kGroup>(at.codes, ahead.codes, is_ahead, mine.tile_stride);
        if (kInStage == kStageGroups - 1 && sparse) {
          // A unit's octets have come behind the launch's first codes, or with the first codes that
          // were asked for while the last unit was at work.
          if constexpr (kStages == 1) {
            if (Shape::Codes::kUnits == 1 || first_unit) {
              WaitForCopies<kBits>();
            } else {
              WaitForCopies<2 * kBits - 1>();
            }
            __syncwarp();
          }
          products.template MultiplyOctets<kStage, 0>(a.layer, outliers.now[0].Of(number),
                                                      outliers.Held(0), token);
          if constexpr (kTiles == 2) {
            products.template MultiplyOctets<kStage, 1>(a.layer, outliers.now[1].Of(number),
                                                        outliers.Held(1), token);
          }
        }
      };
      multiply_group(Constant<0>());
      multiply_group(Constant<1>());
      multiply_group(Constant<2>());
      multiply_group(Constant<3>());
      first_unit = false;
      mine.Advance(&at);
      mine.Advance(&ahead);
      codes.Turn();
      outliers.NextUnit();
    }
    __syncwarp();
    products.StoreSums(reinterpret_cast<float*>(own + Shape::kSumsAt + buffer * Shape::kSumsBytes));
    if constexpr (Shape::kAhead) {
      buffer ^= 1;
      if (next) tables.Build(shared + buffer * Codec<kBits>::kBufferBytes);
      products.lane_address ^= Codec<kBits>::kBufferBytes;
    } else {
      __syncthreads();  // and the tables are free
      finish_group(group, 0);
    }
  }
  if (Shape::kAhead && group != first_group) {
    __syncthreads();
    finish_group(group - grid, buffer ^ 1);
  }
  WaitForAllCopies();
}

// Launches it; lut_gemv_3bit.cu and lut_gemv_4bit.cu have the instances.
template <int kBits, int kTokens, int kTiles, int kWarps>
void LutGemvInstance(const GemvArguments& arguments, dim3 grid, bool overlap, cudaStream_t stream);

}  // namespace sq::cuda
