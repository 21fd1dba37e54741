// The LUT-GEMV kernel: y = W x for up to kTokens tokens, bound by the memory that the codes come
// from.
//
//   - A thread block takes one tile of rows after another; its warps share out the units of inputs,
//   and a warp goes its own way until the sums: no barrier between.
//   - For one token two blocks of 16 warps, or three of 8, have room on a multiprocessor: one works
//   while the other builds tables or adds up, or is the next launch's, its first codes and tables
//   there already when what it multiplies is.
//   - Codes come by copies of 128 bits into shared memory that is the warp's own (CodeRing), half a
//   unit or one ahead, also those of the next tile; most lanes read what they have copied. Loads
//   into registers would wait for one another (ptx.cuh).
//   - What codes stand for: codec.cuh. Products by tensor cores, of fp16 exact, sums fp32
//   (products_of_rows.cuh, products_of_quads.cuh).
//   - x comes by registers, the next inputs on their way meanwhile, to the warp's own part of
//   shared memory or to where it is multiplied.
//   - The outliers of a unit (sparse.cuh) come on top of it.
//   - Entries of tables, scales and where outliers are: two tiles ahead to the second-level cache,
//   entries one tile ahead to shared memory, scales at the tile's end.
//   - Of one token the norms before and after have no kernels of their own: PassedNorm tells how.
//   - Sums of warps, then of parts, are added in a fixed order: no float atomics, the same bits
//   every time.
//   - With programmatic dependent launch a block has its codes on their way, and its tables, before
//   it waits for x.
#pragma once

#include "kernels/cuda/matmul/gemv_ends.cuh"
#include "kernels/cuda/matmul/products_of_quads.cuh"
#include "kernels/cuda/matmul/products_of_rows.cuh"

namespace sq::cuda {

// kOfRows: ProductsOfRows, else ProductsOfQuads. kNormed: x is what a norm left.
template <int kBits, int kTokens, int kWarps, bool kOfRows, bool kNormed>
struct GemvShape {
  static constexpr int kThreads = kWarps * kLanes;
  static constexpr int kBlocks = kTokens > 1 ? 1 : kWarps == 16 ? 2 : 3;  // to have registers for
  // Inputs of x, of all tokens, that a warp has in shared memory: what there is room for. For quads
  // a token's stand 64 bytes further apart (XOffset).
  static constexpr int kRoomForX = kBits == 3 && kTokens == 16 ? 2048 : 1024;
  static constexpr int kHeldInputs = kOfRows && kWarps == 16 ? 256 : kRoomForX;
  static constexpr int kStage =
      kHeldInputs / kTokens < kUnitInputs ? kHeldInputs / kTokens : kUnitInputs;
  static constexpr int kXStride = kStage * 2 + (kOfRows ? 0 : 64);
  using OfRows = ProductsOfRows<kBits, kTokens, kWarps, kStage, kXStride, kNormed>;
  using OfQuads = ProductsOfQuads<kBits, kTokens, kWarps, kStage, kXStride>;
  using Products = std::conditional_t<kOfRows, OfRows, OfQuads>;
  using End = TileEnd<kTokens, kThreads>;
  // Chunks of codes: a unit of them, half of one where tables leave too little room. Tables of rows
  // leave gaps for some.
  static constexpr int kRing = kOfRows || kBits < 4 ? 2 * kBits : kBits;
  static constexpr int kRoomInGaps =
      kOfRows ? Products::kTablesBytes / 2 / kWarps / (kLanes * 16) : 0;
  using Codes = CodeRing<kBits, kRing, (kRoomInGaps < kRing ? kRoomInGaps : kRing), !kOfRows>;
  // A warp's part: x, in whose place sums come, and after them whether the block is the last.
  static constexpr int kXBytes = kTokens * kXStride, kSumsBytes = kTileRows * kTokens * 4;
  static constexpr int kLastAt = kSumsBytes;
  static constexpr int kPacksAt = kXBytes > kSumsBytes + 16 ? kXBytes : kSumsBytes + 16;
  static constexpr int kCodesAt = kPacksAt + HeldOutliers::kBytes;
  static constexpr int kWarpBytes = kCodesAt + Codes::kBytes;
  static constexpr int kWarpsAt = Products::kTablesBytes;  // offsets in bytes
  static constexpr int kEntriesAt = kWarpsAt + kWarps * kWarpBytes;
  static constexpr int kBytes = kEntriesAt + static_cast<int>(TileEntries<kBits>::kBytes);
  // Of which a multiprocessor of compute capability 9.0 and 10.0 has so many, 1 KB a block its own.
  static_assert(kBlocks == 1 || kBlocks * (kBytes + 1024) <= 228 * 1024);
};

template <int kBits, int kTokens, int kWarps, bool kOfRows, bool kNormed>
__global__ void __launch_bounds__(kWarps* kLanes,
                                  (GemvShape<kBits, kTokens, kWarps, kOfRows, kNormed>::kBlocks))
    LutGemvKernel(GemvArguments a) {
  using Shape = GemvShape<kBits, kTokens, kWarps, kOfRows, kNormed>;
  using Codes = typename Shape::Codes;
  constexpr int kStages = kUnitInputs / Shape::kStage;  // of a unit
  constexpr int kStageGroups = kUnitGroups / kStages;
  // When a unit asks for the next one's packs: early enough for them to have come with the codes
  // that are waited for before they are used, and else late, for where they are to be known by
  // then.
  constexpr int kFetchesPacks = kStages == 1 ? kUnitGroups / 2 : 0;
  unsigned char* const shared = DynamicShared();
  const int warp = WarpOfBlock();
  unsigned char* const own = shared + Shape::kWarpsAt + warp * Shape::kWarpBytes;
  const uint32_t own_address = SharedAddress(own);
  const int units = static_cast<int>(static_cast<unsigned>(a.layer.padded_inputs) / kUnitInputs);
  const WarpUnits<kBits, kWarps> mine(a, units, warp);
  const bool sparse = a.layer.pack_begin != nullptr;
  const int first_tile = static_cast<int>(blockIdx.x), grid = static_cast<int>(gridDim.x);
  const auto is_tile = [&](int tile) { return tile * kTileRows < a.layer.rows; };
  LetNextStart();

  const auto fetch_entries = [&](int tile) {
    TileEntries<kBits>::Fetch(a.layer, tile, SharedAddress(shared) + Shape::kEntriesAt);
    CommitCopies();
  };
  fetch_entries(first_tile);
  const uint4* at = mine.Begin(a.layer, first_tile);  // of the unit at work
  const Codes codes(SharedAddress(shared) + Codes::kGap + warp * Codes::kGapBytes,
                    own_address + Shape::kCodesAt);
  codes.FetchFirst(mine.count > 0, at);
  const uint32_t packs = own_address + Shape::kPacksAt;
  HeldOutliers outliers(packs);
  const auto find_outliers = [&](int tile) {
    outliers.FindNext(a.layer, tile, units, mine.first, kWarps, mine.count);
  };
  if (sparse) {
    find_outliers(first_tile);
    outliers.FetchNext(a.layer, 0, true, packs);
    outliers.NextUnit(packs);
  }
  CommitCopies();
  const auto expect = [&](int tile) {
    if (is_tile(tile)) ExpectTile<kBits, kTokens>(a, tile, units);
  };
  expect(first_tile);
  expect(first_tile + grid);
  typename Shape::Products products(own_address);
  // x of a group on to where it is multiplied, and the next on its way; of several groups at once.
  constexpr int kXGroups = Shape::Products::kXInputs / kGroupInputs;
  const auto take_x = [&](auto group, int number) {
    constexpr int kGroup = decltype(group)::value, kNext = (kGroup + kXGroups) % kUnitGroups;
    products.template TakeX<kGroup>(own, sparse);
    const int unit = kNext > 0 ? number : mine.IsLast(number) ? 0 : number + 1;
    products.LoadX(a, (mine.first + kWarps * unit) * kUnitInputs + kNext * kGroupInputs);
  };
  WaitForCopies<Shape::kRing + 1>();  // the entries
  __syncthreads();
  for (int tile = first_tile; is_tile(tile); tile += grid) {
    products.BuildTables(shared, shared + Shape::kEntriesAt);
    outliers.NextTile();
    const bool next = is_tile(tile + grid);
    if (next && sparse) find_outliers(tile + grid);
    __syncthreads();  // tables are there; entries and the last tile's sums have been read
    if (tile == first_tile) {
      WaitForPrevious();
      products.LoadX(a, mine.count > 0 ? mine.first * kUnitInputs : a.layer.inputs);
      if constexpr (kNormed) products.x.FindRoot(a);
      if (sparse && kStages > 1) WaitForAllCopies();  // the first packs
    }
    if (mine.count > 0) take_x(Constant<0>(), 0);
    if (next) {  // after x is taken, which would have to wait for it
      fetch_entries(tile + grid);
      expect(tile + 2 * grid);
    }
    products.Clear();
    for (int number = 0; number < mine.count; ++number) {
      const bool last = mine.IsLast(number), is_ahead = !last || next;
      const uint4* const ahead = mine.Next(at, last);
      uint32_t words[8 * kBits];
      const auto multiply_group = [&](auto group_in_unit) {
        constexpr int kGroup = decltype(group_in_unit)::value;
        constexpr int kStage = kGroup / kStageGroups, kInStage = kGroup % kStageGroups;
        constexpr int kChunk = ChunkOf(kBits, kGroup);
        constexpr bool kTakes = HasChunk(kBits, kGroup);
        if constexpr (kTakes) codes.template Take<kChunk>(words);
        if constexpr (kInStage == 0) __syncwarp();  // the last inputs and packs have been read
        if (kGroup == kFetchesPacks && sparse) outliers.FetchNext(a.layer, number, last, packs);
        if (kGroup % kXGroups == 0 && (kGroup > 0 || number > 0))
          take_x(Constant<kGroup>(), number);
        Codec<kBits>::Collect(words, kGroup);
        products.template MultiplyGroup<kGroup>(words);
        if constexpr (kTakes) codes.template Replace<kChunk>(at, ahead, is_ahead);
        if (kInStage == kStageGroups - 1 && sparse) {
          // This lane's packs have come: behind them are copies of as many codes as the ring holds.
          __syncwarp();  // x too
          outliers.ForEach(a.layer, number, kStage + 1 < kStages, [&](const auto& pack) {
            products.template MultiplyPack<kStage>(pack, own_address);
          });
        }
      };
      multiply_group(Constant<0>());
      multiply_group(Constant<1>());
      multiply_group(Constant<2>());
      multiply_group(Constant<3>());
      multiply_group(Constant<4>());
      multiply_group(Constant<5>());
      multiply_group(Constant<6>());
      multiply_group(Constant<7>());
      at = ahead;
      outliers.NextUnit(packs);
    }
    typename Shape::End end;
    end.Load(a, tile);  // no earlier: for one token there are no registers to keep it in
    __syncwarp();
    products.StoreSums(reinterpret_cast<float*>(own));
    if (mine.count == 0) WaitForAllCopies();  // of entries, which others find behind those of codes
    __syncthreads();                          // and the tables are free
    end.Finish(
        a, tile,
        [&](int i) {
          const float* const sums = reinterpret_cast<const float*>(shared + Shape::kWarpsAt);
          float sum = 0;
#pragma unroll
          for (int w = 0; w < kWarps; ++w) sum += sums[w * (Shape::kWarpBytes / 4) + i];
          return sum;
        },
        reinterpret_cast<int*>(shared + Shape::kWarpsAt + Shape::kLastAt));
  }
  WaitForAllCopies();
}

}  // namespace sq::cuda
