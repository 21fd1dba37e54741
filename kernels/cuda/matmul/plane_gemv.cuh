// y = W x for one token by products of single bits. Summed over the inputs k of a row, with
// x[k] = scale * sum over planes n of 2^n * (bit n of x[k]),
//
//   sum_k table[code[k]] x[k] = sum over codes t of table[t] * E[t],  E[t] = sum of x[k] where code[k] = t
//   D[S] = sum of x[k] where code[k] has all bits of S = sum of E[t] over all t that have them
//        = scale * sum_n 2^n * #{k: code[k] has all bits of S, x[k] has bit n}
//
// so that it takes no look-ups, but counts of bits that two words share: mma.m16n8k256, whose A is the
// AND of planes of codes and whose columns are planes of x. The counts are exact for the whole numbers
// that x is rounded to (planes.cuh). They become D by mma.m16n8k16, as fp16: a count's bits are the
// subnormal number count * 2^-24. D becomes E by subtractions.
//
//   - 8 sets S of the lower 3 bits at a time, for 16 planes 64 counters a lane. A pass for those is all
//   that 3 bits need; for 4 bits a second one has the same sets with the fourth bit.
//   - A warp works on its own: a tile of rows and its share of the units of inputs, whose codes and
//   outliers come by asynchronous copies into its ring in shared memory, kRing units ahead, also
//   those of the tiles after this one. A block's warps meet once a group of tiles, to add up.
//   - x as planes, and with outliers as fp16 beside it, is in shared memory for the whole launch.
//   - With programmatic dependent launch a block's codes and tables are on their way before it waits
//   for x.
#pragma once

#include "kernels/cuda/matmul/gemv_ends.cuh"
#include "kernels/cuda/matmul/planes.cuh"
#include "kernels/cuda/matmul/sparse.cuh"

namespace sq::cuda {

template <int kBits, bool kSparse>
struct PlaneShape {
  static constexpr int kWarps = 8, kThreads = kWarps * kLanes, kBlocks = 2;
  static constexpr int kSets = 8, kPasses = 1 << (kBits - 3);
  static constexpr int kRing = 4;  // units
  // A unit's codes, its first octets, and where they are.
  static constexpr int kOctetsAt = kBits * kLanes * 16, kRangeAt = kOctetsAt + kHeldOctetBytes;
  static constexpr int kSlotBytes = kSparse ? kRangeAt + 16 : kOctetsAt;
  static constexpr int kWarpBytes = kRing * kSlotBytes;
  // Sums of warps for this group and the next; for FinishGroup; scales of x.
  static constexpr int kLastAt = 2 * kWarps * kTileRows * 4, kScalesAt = kLastAt + 16;
  static constexpr int kScales = 65536 / (kUnitInputs * kScaledUnits);
  static constexpr int kWarpsAt = kScalesAt + kScales * 4, kXAt = kWarpsAt + kWarps * kWarpBytes;

  // Units of x that a block has room for in so many bytes of shared memory.
  static constexpr int64_t Room(int64_t bytes) {
    return (bytes - kXAt) / (kUnitXBytes * (kSparse ? 2 : 1)) / kScaledUnits * kScaledUnits;
  }
  static constexpr int64_t Bytes(int64_t units) {
    const int64_t whole = (units + kScaledUnits - 1) / kScaledUnits * kScaledUnits;
    return kXAt + whole * kUnitXBytes * (kSparse ? 2 : 1);
  }
};

// A lane's part of the weights of planes in the product that makes D of counts: 2^n of planes n = 2q,
// 2q+1 and these + 8, the last one's negative.
struct PlaneWeights {
  uint32_t low, high;
  __device__ __forceinline__ PlaneWeights() {
    const uint32_t q = static_cast<uint32_t>(Lane()) % 4;
    constexpr uint32_t kBias = 15, kExponents = 1u << 10 | 1u << 26;  // of fp16
    low = (kBias + 2 * q) * kExponents + (1u << 26);
    high = low + 8 * kExponents + (q == 3 ? 0x80000000u : 0u);
  }
};

// A tile's counts of one pass and up to kScaledUnits units.
template <int kBits, int kSets>
struct PlaneCounts {
  int32_t counts[kSets][2][4];  // [set][byte of n][of the product]

  // A unit: `words` as a lane has them, x its words of the planes. The first clears the counts.
  template <int pass, bool first>
  __device__ __forceinline__ void Add(const uint32_t (&words)[4 * kBits], const uint32_t (&x)[4]) {
    uint32_t sets[kSets][4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const uint32_t* const planes = words + j * kBits;
      sets[0][j] = pass == 0 ? 0xffffffffu : planes[kBits - 1];
#pragma unroll
      for (int bit = 0; bit < 3; ++bit) {
#pragma unroll
        for (int s = 0; s < 1 << bit; ++s) sets[s | 1 << bit][j] = sets[s][j] & planes[bit];
      }
    }
#pragma unroll
    for (int s = 0; s < kSets; ++s) {
      if constexpr (first) {
        MultiplyBits(counts[s][0], sets[s], x[0], x[1]);
        MultiplyBits(counts[s][1], sets[s], x[2], x[3]);
      } else {
        MultiplyAddBits(counts[s][0], sets[s], x[0], x[1]);
        MultiplyAddBits(counts[s][1], sets[s], x[2], x[3]);
      }
    }
  }

  // Adds scale * counts to D of sets 2q, 2q+1 for rows g and g + 8 of lane 4g+q.
  __device__ __forceinline__ void AddTo(float (&d)[4], const PlaneWeights& weights,
                                        float scale) const {
    float sums[2][4] = {};  // two, to wait less
#pragma unroll
    for (int s = 0; s < kSets; ++s) {
      uint32_t halves[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int32_t* const two = counts[s][i / 2] + i % 2 * 2;
        halves[i] = static_cast<uint32_t>(two[1]) * 65536u + static_cast<uint32_t>(two[0]);
      }
      const bool mine = Lane() / 4 == s;  // the product's column
      MultiplyAdd(sums[s % 2], halves, {mine ? weights.low : 0u, mine ? weights.high : 0u});
    }
    constexpr float kSubnormal = 16777216.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) d[i] += (sums[0][i] + sums[1][i]) * (scale * kSubnormal);
  }
};

// What a lane needs of a tile's tables: entries 2q, 2q+1, and these + 8, of rows g and g + 8.
template <int kBits, int kPasses>
struct TileTables {
  uint32_t entries[kPasses][2];

  __device__ __forceinline__ void Load(const LayerView& layer, int tile) {
    // Where there is no such tile, any.
    const int row = min(tile * kTileRows, layer.padded_rows - kTileRows) + Lane() / 4;
#pragma unroll
    for (int i = 0; i < 2 * kPasses; ++i) {
      entries[i / 2][i % 2] = *reinterpret_cast<const uint32_t*>(
          layer.table + ((row + i % 2 * 8) << kBits) + i / 2 * 8 + Lane() % 4 * 2);
    }
  }

  // The sum over codes for row g + 8 (q % 2) of lane 4g+q, as the sum of two lanes' results, q and
  // q ^ 2.
  __device__ __forceinline__ float Sum(float (&d)[kPasses][4]) const {
    const int q = Lane() % 4;
    if constexpr (kPasses == 2) {
#pragma unroll
      for (int i = 0; i < 4; ++i) d[0][i] -= d[1][i];
    }
    float of_row[2] = {0, 0};
#pragma unroll
    for (int pass = 0; pass < kPasses; ++pass) {
      float(&e)[4] = d[pass];
      e[0] -= e[1];
      e[2] -= e[3];
#pragma unroll
      for (int bit = 1; bit < 4; bit *= 2) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float with = __shfl_xor_sync(kWholeWarp, e[i], bit);
          if ((q & bit) == 0) e[i] -= with;
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i)
        of_row[i / 2] += HalfValue(entries[pass][i / 2] >> (16 * (i % 2))) * e[i];
    }
    const bool second = q % 2 != 0;
    return (second ? of_row[1] : of_row[0]) +
           __shfl_xor_sync(kWholeWarp, second ? of_row[0] : of_row[1], 1);
  }
};

// A warp's outliers of one unit, from `slot` and where the range says; x: fp16 of the unit.
template <typename Shape>
__device__ __forceinline__ void AddOutliers(const LayerView& layer, uint32_t slot, uint32_t x,
                                            float (&sums)[4]) {
  const uint2 stored = LoadSharedTwo(slot + Shape::kRangeAt);
  OctetRange left = {static_cast<int32_t>(stored.x), static_cast<int32_t>(stored.y)};
  while (left.begin < left.end) {
    const int32_t count = min(left.end - left.begin, kHeldOctets);
#pragma unroll 1  // few at a time
    for (int32_t octet = 0; octet < count; ++octet) {
      const OctetFragments<kUnitInputs> fragments(slot + Shape::kOctetsAt + octet * kOctetBytes);
      uint32_t a[2];
      fragments.A(0, a);
      MultiplyAdd(sums, a, fragments.B(x));
    }
    left.begin += count;
    if (left.begin >= left.end) break;
    __syncwarp();  // they have been read
    FetchOctets(layer, left, slot + Shape::kOctetsAt);
    WaitForAllCopies();
    __syncwarp();
  }
}

// The units that a warp asks for, one after the other: its share of its tile of each of the block's
// groups.
template <int kBits, bool kSparse>
struct UnitsAhead {
  using Shape = PlaneShape<kBits, kSparse>;
  int unit, row, left;           // of the matrix; of the tile; units of the share left
  OctetRange octets = {0, 0};  // of the unit to ask for

  __device__ __forceinline__ void FindOctets(const LayerView& layer) {
    octets = {0, 0};
    if (row < layer.rows) octets = {layer.octet_begin[unit], layer.octet_begin[unit + 1]};
  }
  // One to `slot`, if there is one, and on to the next. count: of a share.
  __device__ __forceinline__ void Fetch(const GemvArguments& a, uint32_t slot, int count) {
    if (row < a.layer.rows) {
      const uint4* const codes = reinterpret_cast<const uint4*>(a.layer.codes) +
                                 int64_t{unit * (kBits * kLanes) + Lane()};
#pragma unroll
      for (int i = 0; i < kBits; ++i)
        CopyToShared(slot + (i * kLanes + Lane()) * 16, codes + i * kLanes);
      if (kSparse) FetchOctets(a.layer, octets, slot + Shape::kOctetsAt);
    }
    if (kSparse && Lane() == 0) {
      StoreShared(slot + Shape::kRangeAt, static_cast<uint32_t>(octets.begin),
                  static_cast<uint32_t>(octets.end));
    }
    CommitCopies();
    ++unit;
    if (--left == 0) {
      const int tile_step = static_cast<int>(gridDim.x) * a.group_tiles;
      left = count;
      row += tile_step * kTileRows;
      unit += tile_step * (a.layer.padded_inputs / kUnitInputs) - count;
    }
    if (kSparse) FindOctets(a.layer);
  }
};

template <int kBits, bool kSparse>
__global__ void __launch_bounds__(PlaneShape<kBits, kSparse>::kThreads,
                                  (PlaneShape<kBits, kSparse>::kBlocks))
    PlaneGemvKernel(GemvArguments a) {
  using Shape = PlaneShape<kBits, kSparse>;
  constexpr int kRing = Shape::kRing, kPasses = Shape::kPasses;
  unsigned char* const shared = DynamicShared();
  const int warp = static_cast<int>(threadIdx.x / kLanes);
  const int tiles = a.group_tiles;
  const int units = static_cast<int>(static_cast<unsigned>(a.layer.padded_inputs) / kUnitInputs);
  const int block_first = a.part_units * static_cast<int>(blockIdx.y);
  const int block_units = min(a.part_units, units - block_first);
  // The warp's share: `count` units of the block's from `first` on, of tile `tile` of the group.
  const int tile = warp / a.tile_warps, first = warp % a.tile_warps * a.share_units;
  const int count = min(a.share_units, block_units - first);
  const int first_group = static_cast<int>(blockIdx.x), grid = static_cast<int>(gridDim.x);
  LetNextStart();

  UnitsAhead<kBits, kSparse> ahead;
  ahead.unit = (first_group * tiles + tile) * units + block_first + first;
  ahead.row = count > 0 ? (first_group * tiles + tile) * kTileRows : a.layer.rows;
  ahead.left = count;
  if (kSparse) ahead.FindOctets(a.layer);
  const uint32_t ring = SharedAddress(shared) + Shape::kWarpsAt + warp * Shape::kWarpBytes;
#pragma unroll
  for (int i = 0; i < kRing; ++i) ahead.Fetch(a, ring + i * Shape::kSlotBytes, count);
  // Thread i finishes row i % 16 of tile i / 16 of the group.
  const int values = tiles * kTileRows, value = static_cast<int>(threadIdx.x);
  // A group's tables and scales on their way to the second-level cache.
  const auto expect = [&](int group) {
    const int row = group * values + value;
    if (value >= values || row >= a.layer.rows) return;
    Prefetch(a.layer.table + (row << kBits));
    Prefetch(a.layer.row_scale + row);
    if (a.layer.bias != nullptr) Prefetch(a.layer.bias + row);
  };
  expect(first_group);

  WaitForPrevious();
  unsigned char* const planes = shared + Shape::kXAt;
  unsigned char* const halves =
      planes + (block_units + kScaledUnits - 1) / kScaledUnits * (kScaledUnits * kUnitXBytes);
  float* const scales = reinterpret_cast<float*>(shared + Shape::kScalesAt);
  PlaneMaker x;
  const auto load_x = [&](int unit) {
    x.Load(a.x, a.layer.inputs, (block_first + unit) * kUnitInputs);
  };
  if (kScaledUnits * warp < block_units) load_x(kScaledUnits * warp);
  for (int unit = kScaledUnits * warp; unit < block_units; unit += kScaledUnits * Shape::kWarps) {
    if (kSparse) x.StoreHalves(halves + unit * kUnitXBytes);
    scales[unit / kScaledUnits] = x.StorePlanes(planes + unit * kUnitXBytes);
    if (unit + kScaledUnits * Shape::kWarps < block_units)
      load_x(unit + kScaledUnits * Shape::kWarps);
  }
  if (kSparse) WaitForAllCopies();  // the first octets
  __syncthreads();

  const uint32_t own_planes = SharedAddress(planes) + first * kUnitXBytes + Lane() * 16;
  const uint32_t own_halves = SharedAddress(halves) + first * kUnitXBytes;
  const PlaneWeights weights;
  PlaneCounts<kBits, Shape::kSets> counts;
  uint32_t slot = ring;
  int parity = 0;
  for (int group = first_group; group * values < a.layer.rows; group += grid, parity ^= 1) {
    expect(group + grid);
    TileTables<kBits, kPasses> tables;
    tables.Load(a.layer, group * tiles + tile);
    Finish finish;
    if (value < values) {
      finish.LoadWeights(a, group * values + value);
      finish.LoadAdded(a, group * values + value, 0);
    }
    const int end = (group * tiles + tile) * kTileRows < a.layer.rows ? count : 0;
    float d[kPasses][4] = {}, outliers[4] = {0, 0, 0, 0};
    const auto add = [&](auto pass, auto is_first, uint32_t this_slot, int number) {
      uint32_t words[4 * kBits], x_words[4];
#pragma unroll
      for (int i = 0; i < kBits; ++i)
        LoadSharedFour(this_slot + (i * kLanes + Lane()) * 16, words + 4 * i);
      LoadSharedFour(own_planes + number * kUnitXBytes, x_words);
      counts.template Add<decltype(pass)::value, decltype(is_first)::value != 0>(words, x_words);
    };
    // The slot is free then.
    const auto leave = [&](uint32_t this_slot, int number) {
      if (kSparse) {
        __syncwarp();  // others' copies have arrived
        AddOutliers<Shape>(a.layer, this_slot, own_halves + number * kUnitXBytes, outliers);
        __syncwarp();
      }
      ahead.Fetch(a, this_slot, count);
    };
    for (int number = 0; number < end; number += kScaledUnits) {
      const bool two = number + 1 < end;
      const auto after = [&](uint32_t this_slot) {
        return this_slot == ring + (kRing - 1) * Shape::kSlotBytes ? ring
                                                                   : this_slot + Shape::kSlotBytes;
      };
      const uint32_t next_slot = after(slot);
      const float scale = scales[(first + number) / kScaledUnits];
      constexpr bool kOnePass = kPasses == 1;
      WaitForCopies<kRing - 1>();
      add(Constant<0>(), Constant<1>(), slot, number);
      if (kOnePass) leave(slot, number);
      if (two) {
        WaitForCopies<kOnePass ? kRing - 1 : kRing - 2>();
        add(Constant<0>(), Constant<0>(), next_slot, number + 1);
        if (kOnePass) leave(next_slot, number + 1);
      }
      counts.AddTo(d[0], weights, scale);
      if constexpr (!kOnePass) {
        add(Constant<1>(), Constant<1>(), slot, number);
        leave(slot, number);
        if (two) {
          add(Constant<1>(), Constant<0>(), next_slot, number + 1);
          leave(next_slot, number + 1);
        }
        counts.AddTo(d[1], weights, scale);
      }
      slot = two ? after(next_slot) : next_slot;
    }
    float sum = tables.Sum(d);
    const int q = Lane() % 4;
    if (kSparse && q < 2) sum += q == 0 ? outliers[0] : outliers[2];
    sum += __shfl_xor_sync(kWholeWarp, sum, 2);
    float* const sums = reinterpret_cast<float*>(shared) + parity * (Shape::kWarps * kTileRows);
    if (q < 2) sums[warp * kTileRows + Lane() / 4 + 8 * q] = sum;
    __syncthreads();
    float all = 0;
    if (value < values) {
      for (int w = 0; w < a.tile_warps; ++w)
        all += sums[(value / kTileRows * a.tile_warps + w) * kTileRows + value % kTileRows];
    }
    FinishGroup<1>(a, group, values, all, finish, reinterpret_cast<int*>(shared + Shape::kLastAt));
  }
  WaitForAllCopies();
}

}  // namespace sq::cuda
