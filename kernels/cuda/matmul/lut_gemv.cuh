// The LUT-GEMV kernel: y = W x for up to kTokens tokens. It is bound by the bandwidth at which
// indices are read from memory.
//
//   - Partition: a thread block takes one tile of 32 rows after another. Its warps share out the
//     K-tiles, kWarps apart, and meet at no barrier until their sums are added up.
//   - Occupancy: for one token a multiprocessor holds two blocks of 16 warps or three of 8, so one
//     streams indices while another builds tables or runs its epilogue.
//   - Indices go through a ring of cp.async copies in shared memory that belongs to the warp
//     (IndexRing), half a K-tile or a whole one ahead, across tile boundaries. Loads into registers
//     would wait for one another (ptx.cuh).
//   - Decoding: one look-up gives a pair of weights (codec.cuh). Tensor cores multiply fp16 and add
//     up in fp32 (products_of_rows.cuh, products_of_quads.cuh).
//   - x is loaded into registers one step ahead and stored to the warp's shared memory, or used
//     from registers.
//   - Outliers of a K-tile are added into the same accumulators (sparse.cuh).
//   - Table entries, scales and the bounds of outlier blocks are prefetched into L2 two tiles
//   ahead;
//     the entries are copied to shared memory one tile ahead.
//   - For one token, RMSNorm is fused: the epilogue stores the sums of squares, the prologue of the
//     next product scales by them (FusedNorm).
//   - Sums of warps, then of split-K parts, are added in a fixed order without atomics on floats,
//     so results are the same bits every time.
//   - With programmatic dependent launch a block starts its copies and builds its tables before it
//     waits for x.
#pragma once

#include "kernels/cuda/matmul/gemv_epilogue.cuh"
#include "kernels/cuda/matmul/gemv_prologue.cuh"
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
      kHeldInputs / kTokens < kTileInputs ? kHeldInputs / kTokens : kTileInputs;
  static constexpr int kXStride = kStage * 2 + (kOfRows ? 0 : 64);
  using OfRows = ProductsOfRows<kBits, kTokens, kWarps, kStage, kXStride, kNormed>;
  using OfQuads = ProductsOfQuads<kBits, kTokens, kWarps, kStage, kXStride>;
  using Products = std::conditional_t<kOfRows, OfRows, OfQuads>;
  using Epilogue = TileEpilogue<kTokens, kThreads>;
  // Vectors of indices: a K-tile, or half of one where tables leave too little room. Tables of
  // rows leave gaps for some.
  static constexpr int kRing = kOfRows || kBits < 4 ? 2 * kBits : kBits;
  static constexpr int kRoomInGaps =
      kOfRows ? Products::kTablesBytes / 2 / kWarps / (kLanes * 16) : 0;
  using Indices = IndexRing<kBits, kRing, (kRoomInGaps < kRing ? kRoomInGaps : kRing), !kOfRows>;
  // A warp's part: x, in whose place sums come, and after them whether the block is the last.
  static constexpr int kXBytes = kTokens * kXStride, kSumsBytes = kTileRows * kTokens * 4;
  static constexpr int kLastAt = kSumsBytes;
  static constexpr int kOutliersAt = kXBytes > kSumsBytes + 16 ? kXBytes : kSumsBytes + 16;
  static constexpr int kIndicesAt = kOutliersAt + HeldOutliers::kBytes;
  static constexpr int kWarpBytes = kIndicesAt + Indices::kBytes;
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
  using Indices = typename Shape::Indices;
  using Products = typename Shape::Products;
  using Epilogue = typename Shape::Epilogue;
  static constexpr int kStages = kTileInputs / Shape::kStage;  // of a K-tile
  static constexpr int kStageSteps = kTileSteps / kStages;
  // The K-step of a K-tile at which the next K-tile's outlier blocks are fetched. With one stage
  // they arrive together with indices that are waited for anyway; with several they are read
  // earlier, so the fetch comes first.
  static constexpr int kFetchesOutliers = kStages == 1 ? kTileSteps / 2 : 0;
  static constexpr int kXSteps = Products::kXInputs / kStepInputs;  // of x, loaded at once

  const GemvArguments& a;
  unsigned char* const shared;  // of the block
  unsigned char* const own;     // of the warp
  const uint32_t own_address,
      outlier_blocks;  // shared addresses: of `own`, and of the outliers there
  const int k_tiles;
  const WarpTiles<kBits, kWarps> mine;
  const bool sparse;
  const Indices indices;
  HeldOutliers outliers;
  Products products;
  const uint4* at;  // indices of the current K-tile

  __device__ __forceinline__ GemvWarp(const GemvArguments& a, unsigned char* shared, int warp)
      : a(a),
        shared(shared),
        own(shared + Shape::kWarpsAt + warp * Shape::kWarpBytes),
        own_address(SharedAddress(own)),
        outlier_blocks(own_address + Shape::kOutliersAt),
        k_tiles(static_cast<int>(static_cast<unsigned>(a.layer.padded_inputs) / kTileInputs)),
        mine(a, k_tiles, warp),
        sparse(a.layer.outlier_begin != nullptr),
        indices(SharedAddress(shared) + Indices::kGap + warp * Indices::kGapBytes,
                own_address + Shape::kIndicesAt),
        outliers(outlier_blocks),
        products(own_address) {}

  __device__ __forceinline__ bool IsTile(int tile) const { return tile * kTileRows < a.layer.rows; }
  __device__ __forceinline__ void FetchEntries(int tile) const {
    TileEntries<kBits>::Fetch(a.layer, tile, SharedAddress(shared) + Shape::kEntriesAt);
    CommitCopies();
  }
  __device__ __forceinline__ void FindOutliers(int tile) {
    outliers.FindNext(a.layer, tile, k_tiles, mine.first, kWarps, mine.count);
  }
  __device__ __forceinline__ void Prefetch(int tile) const {
    if (IsTile(tile)) PrefetchTile<kBits, kTokens>(a, tile, k_tiles);
  }
  // Everything that does not depend on the previous kernel: the first tile's entries, indices and
  // outliers.
  __device__ __forceinline__ void StartCopies(int tile) {
    FetchEntries(tile);
    at = mine.Begin(a.layer, tile);
    indices.FetchFirst(mine.count > 0, at);
    if (sparse) {
      FindOutliers(tile);
      outliers.FetchNext(a.layer, 0, true, outlier_blocks);
      outliers.NextKTile(outlier_blocks);
    }
    CommitCopies();
    Prefetch(tile);
    Prefetch(tile + static_cast<int>(gridDim.x));
  }
  // x becomes readable here: it is the result of the previous kernel.
  __device__ __forceinline__ void StartX() {
    WaitForPrevious();
    products.LoadX(a, mine.count > 0 ? mine.first * kTileInputs : a.layer.inputs);
    if constexpr (kNormed) products.x.FindRoot(a);
    if (sparse && kStages > 1) WaitForAllCopies();  // the first outlier blocks
  }
  // x of kXSteps K-steps from registers to where it is multiplied, and loads of the next ones.
  template <int kStep>
  __device__ __forceinline__ void TakeX(int number) {
    constexpr int kNext = (kStep + kXSteps) % kTileSteps;
    products.template TakeX<kStep>(own, sparse);
    const int k_tile = kNext > 0 ? number : mine.IsLast(number) ? 0 : number + 1;
    products.LoadX(a, (mine.first + kWarps * k_tile) * kTileInputs + kNext * kStepInputs);
  }
  // Group kStep of K-tile `number`; the K-tile after it is at `ahead`, if there is one.
  template <int kStep>
  __device__ __forceinline__ void MultiplyStep(int number, const uint4* ahead, bool is_ahead,
                                               uint32_t (&words)[8 * kBits]) {
    constexpr int kStage = kStep / kStageSteps, kInStage = kStep % kStageSteps;
    constexpr int kVector = VectorOf(kBits, kStep);
    constexpr bool kTakes = HasVector(kBits, kStep);
    if constexpr (kTakes) indices.template Take<kVector>(words);
    if constexpr (kInStage == 0) __syncwarp();  // the last inputs and outlier blocks have been read
    if (kStep == kFetchesOutliers && sparse)
      outliers.FetchNext(a.layer, number, mine.IsLast(number), outlier_blocks);
    if (kStep % kXSteps == 0 && (kStep > 0 || number > 0)) TakeX<kStep>(number);
    Codec<kBits>::Collect(words, kStep);
    products.template MultiplyStep<kStep>(words);
    if constexpr (kTakes) indices.template Replace<kVector>(at, ahead, is_ahead);
    if (kInStage == kStageSteps - 1 && sparse) {
      // This lane's outlier blocks are there: the copies committed after them fill the whole ring,
      // and indices have been waited for that are younger.
      __syncwarp();  // x too
      outliers.ForEach(a.layer, number, kStage + 1 < kStages, [&](const auto& block) {
        products.template MultiplyOutliers<kStage>(block, own_address);
      });
    }
  }
  // The warp's K-tiles of a tile; `next`: the block has another tile after it.
  __device__ __forceinline__ void MultiplyTiles(bool next) {
    products.Clear();
    for (int number = 0; number < mine.count; ++number) {
      const bool last = mine.IsLast(number), is_ahead = !last || next;
      const uint4* const ahead = mine.Next(at, last);
      uint32_t words[8 * kBits];
      ForEachConstant<kTileSteps>([&](auto k_step) {
        MultiplyStep<decltype(k_step)::value>(number, ahead, is_ahead, words);
      });
      at = ahead;
      outliers.NextKTile(outlier_blocks);
    }
  }
  // Adds up the warps' sums and writes the tile's rows of y.
  __device__ __forceinline__ void FinishTile(int tile) {
    Epilogue end;
    end.Load(a, tile);  // no earlier: for one token there are no registers to keep it in
    __syncwarp();
    products.StoreSums(reinterpret_cast<float*>(own));
    if (mine.count == 0) WaitForAllCopies();  // of entries; other warps wait for them with indices
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
      warp.Prefetch(tile + 2 * grid);
    }
    warp.MultiplyTiles(next);
    warp.FinishTile(tile);
  }
  WaitForAllCopies();
}

}  // namespace sq::cuda
