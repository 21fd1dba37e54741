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

// What a warp of the kernel holds, and the steps of its work.
template <int kBits, int kTokens, int kWarps, bool kOfRows, bool kNormed>
struct GemvWarp {
  using Shape = GemvShape<kBits, kTokens, kWarps, kOfRows, kNormed>;
  using Codes = typename Shape::Codes;
  using Products = typename Shape::Products;
  using End = typename Shape::End;
  static constexpr int kStages = kUnitInputs / Shape::kStage;  // of a unit
  static constexpr int kStageGroups = kUnitGroups / kStages;
  // The group of a unit at which the next unit's packs are fetched. With one stage they arrive
  // together with codes that are waited for anyway; with several they are read earlier, so the
  // fetch comes first.
  static constexpr int kFetchesPacks = kStages == 1 ? kUnitGroups / 2 : 0;
  static constexpr int kXGroups = Products::kXInputs / kGroupInputs;  // of x, loaded at once

  const GemvArguments& a;
  unsigned char* const shared;        // of the block
  unsigned char* const own;           // of the warp
  const uint32_t own_address, packs;  // shared addresses: of `own`, and of the outliers there
  const int units;
  const WarpUnits<kBits, kWarps> mine;
  const bool sparse;
  const Codes codes;
  HeldOutliers outliers;
  Products products;
  const uint4* at;  // codes of the current unit

  __device__ __forceinline__ GemvWarp(const GemvArguments& a, unsigned char* shared, int warp)
      : a(a),
        shared(shared),
        own(shared + Shape::kWarpsAt + warp * Shape::kWarpBytes),
        own_address(SharedAddress(own)),
        packs(own_address + Shape::kPacksAt),
        units(static_cast<int>(static_cast<unsigned>(a.layer.padded_inputs) / kUnitInputs)),
        mine(a, units, warp),
        sparse(a.layer.pack_begin != nullptr),
        codes(SharedAddress(shared) + Codes::kGap + warp * Codes::kGapBytes,
              own_address + Shape::kCodesAt),
        outliers(packs),
        products(own_address) {}

  __device__ __forceinline__ bool IsTile(int tile) const { return tile * kTileRows < a.layer.rows; }
  __device__ __forceinline__ void FetchEntries(int tile) const {
    TileEntries<kBits>::Fetch(a.layer, tile, SharedAddress(shared) + Shape::kEntriesAt);
    CommitCopies();
  }
  __device__ __forceinline__ void FindOutliers(int tile) {
    outliers.FindNext(a.layer, tile, units, mine.first, kWarps, mine.count);
  }
  __device__ __forceinline__ void Expect(int tile) const {
    if (IsTile(tile)) ExpectTile<kBits, kTokens>(a, tile, units);
  }
  // Everything that does not depend on the previous kernel: the first tile's entries, codes and
  // outliers.
  __device__ __forceinline__ void StartCopies(int tile) {
    FetchEntries(tile);
    at = mine.Begin(a.layer, tile);
    codes.FetchFirst(mine.count > 0, at);
    if (sparse) {
      FindOutliers(tile);
      outliers.FetchNext(a.layer, 0, true, packs);
      outliers.NextUnit(packs);
    }
    CommitCopies();
    Expect(tile);
    Expect(tile + static_cast<int>(gridDim.x));
  }
  // x becomes readable here: it is the result of the previous kernel.
  __device__ __forceinline__ void StartX() {
    WaitForPrevious();
    products.LoadX(a, mine.count > 0 ? mine.first * kUnitInputs : a.layer.inputs);
    if constexpr (kNormed) products.x.FindRoot(a);
    if (sparse && kStages > 1) WaitForAllCopies();  // the first packs
  }
  // x of kXGroups groups from registers to where it is multiplied, and loads of the next ones.
  template <int kGroup>
  __device__ __forceinline__ void TakeX(int number) {
    constexpr int kNext = (kGroup + kXGroups) % kUnitGroups;
    products.template TakeX<kGroup>(own, sparse);
    const int unit = kNext > 0 ? number : mine.IsLast(number) ? 0 : number + 1;
    products.LoadX(a, (mine.first + kWarps * unit) * kUnitInputs + kNext * kGroupInputs);
  }
  // Group kGroup of unit `number`; the unit after it is at `ahead`, if there is one.
  template <int kGroup>
  __device__ __forceinline__ void MultiplyGroup(int number, const uint4* ahead, bool is_ahead,
                                                uint32_t (&words)[8 * kBits]) {
    constexpr int kStage = kGroup / kStageGroups, kInStage = kGroup % kStageGroups;
    constexpr int kChunk = ChunkOf(kBits, kGroup);
    constexpr bool kTakes = HasChunk(kBits, kGroup);
    if constexpr (kTakes) codes.template Take<kChunk>(words);
    if constexpr (kInStage == 0) __syncwarp();  // the last inputs and packs have been read
    if (kGroup == kFetchesPacks && sparse)
      outliers.FetchNext(a.layer, number, mine.IsLast(number), packs);
    if (kGroup % kXGroups == 0 && (kGroup > 0 || number > 0)) TakeX<kGroup>(number);
    Codec<kBits>::Collect(words, kGroup);
    products.template MultiplyGroup<kGroup>(words);
    if constexpr (kTakes) codes.template Replace<kChunk>(at, ahead, is_ahead);
    if (kInStage == kStageGroups - 1 && sparse) {
      // This lane's packs are there: the copies committed after them fill the whole ring, and
      // codes have been waited for that are younger.
      __syncwarp();  // x too
      outliers.ForEach(a.layer, number, kStage + 1 < kStages, [&](const auto& pack) {
        products.template MultiplyPack<kStage>(pack, own_address);
      });
    }
  }
  // The warp's units of a tile; `next`: the block has another tile after it.
  __device__ __forceinline__ void MultiplyUnits(bool next) {
    products.Clear();
    for (int number = 0; number < mine.count; ++number) {
      const bool last = mine.IsLast(number), is_ahead = !last || next;
      const uint4* const ahead = mine.Next(at, last);
      uint32_t words[8 * kBits];
      ForEachConstant<kUnitGroups>([&](auto group) {
        MultiplyGroup<decltype(group)::value>(number, ahead, is_ahead, words);
      });
      at = ahead;
      outliers.NextUnit(packs);
    }
  }
  // Adds up the warps' sums and writes the tile's rows of y.
  __device__ __forceinline__ void FinishTile(int tile) {
    End end;
    end.Load(a, tile);  // no earlier: for one token there are no registers to keep it in
    __syncwarp();
    products.StoreSums(reinterpret_cast<float*>(own));
    if (mine.count == 0) WaitForAllCopies();  // of entries; other warps wait for them with codes
    __syncthreads();                          // and the tables are free
    const auto sum_of = [&](int i) {
      const float* const sums = reinterpret_cast<const float*>(shared + Shape::kWarpsAt);
      float sum = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) sum += sums[w * (Shape::kWarpBytes / 4) + i];
      return sum;
    };
    end.Finish(a, tile, sum_of, reinterpret_cast<int*>(shared + Shape::kWarpsAt + Shape::kLastAt));
  }
};

template <int kBits, int kTokens, int kWarps, bool kOfRows, bool kNormed>
__global__ void __launch_bounds__(kWarps* kLanes,
                                  (GemvShape<kBits, kTokens, kWarps, kOfRows, kNormed>::kBlocks))
    LutGemvKernel(GemvArguments a) {
  using Warp = GemvWarp<kBits, kTokens, kWarps, kOfRows, kNormed>;
  using Shape = typename Warp::Shape;
  const int first_tile = static_cast<int>(blockIdx.x), grid = static_cast<int>(gridDim.x);
  Warp warp(a, DynamicShared(), WarpOfBlock());
  LetNextStart();
  warp.StartCopies(first_tile);
  WaitForCopies<Shape::kRing + 1>();  // the entries
  __syncthreads();
  for (int tile = first_tile; warp.IsTile(tile); tile += grid) {
    warp.products.BuildTables(warp.shared, warp.shared + Shape::kEntriesAt);
    warp.outliers.NextTile();
    const bool next = warp.IsTile(tile + grid);
    if (next && warp.sparse) warp.FindOutliers(tile + grid);
    __syncthreads();  // tables are there; entries and the last tile's sums have been read
    if (tile == first_tile) warp.StartX();
    if (warp.mine.count > 0) warp.template TakeX<0>(0);
    if (next) {  // after x is taken, which would have to wait for it
      warp.FetchEntries(tile + grid);
      warp.Expect(tile + 2 * grid);
    }
    warp.MultiplyUnits(next);
    warp.FinishTile(tile);
  }
  WaitForAllCopies();
}

}  // namespace sq::cuda
