// Rows of a packed layer as a plain matrix: for the dense product of many tokens, and for callers
// that want the weights. A lane loads indices by 128 bits and stores 16 bytes of weights; a second
// kernel adds the outliers.
#include "kernels/cuda/matmul/codec.cuh"
#include "kernels/cuda/matmul/index_at.cuh"
#include "kernels/cuda/matmul/kernels.h"
#include "kernels/cuda/warp.cuh"

namespace sq::cuda {
namespace {

constexpr int kTileWarps = 2;  // that share a tile's K-tile
constexpr int kThreads = static_cast<int>(kPaddedRows) / kTileRows * kTileWarps * kLanes;

// What is written: rows [first_row, first_row + out.rows) of the layer.
struct Target {
  CudaMatrix out;
  int first_row;
  bool row_scaled;  // else divided by the row's scale
};

// 8 neighbouring weights, four words of fp16.
__device__ __forceinline__ void Store8(const LayerView& layer, const Target& target, int row,
                                       int column, const uint32_t (&words)[4]) {
  const int to = row - target.first_row;
  if (to < 0 || to >= target.out.rows || column >= layer.inputs) return;
  const int64_t at = static_cast<int64_t>(to) * target.out.stride + column;
  const float scale = target.row_scaled ? layer.row_scale[row] : 1.0f;
  if (target.out.type == FloatType::kFloat16 && scale == 1.0f) {
    *reinterpret_cast<uint4*>(static_cast<uint16_t*>(target.out.data) + at) = {words[0], words[1],
                                                                               words[2], words[3]};
    return;
  }
  float values[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) values[i] = HalfValue(words[i / 2] >> (16 * (i % 2))) * scale;
  if (target.out.type == FloatType::kFloat32) {
    auto* to32 = reinterpret_cast<float4*>(static_cast<float*>(target.out.data) + at);
    to32[0] = {values[0], values[1], values[2], values[3]};
    to32[1] = {values[4], values[5], values[6], values[7]};
    return;
  }
  uint32_t rounded[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    rounded[i] = target.out.type == FloatType::kFloat16
                     ? PackHalves(values[2 * i], values[2 * i + 1])
                     : PackBFloats(values[2 * i], values[2 * i + 1]);
  }
  *reinterpret_cast<uint4*>(static_cast<uint16_t*>(target.out.data) + at) = {
      rounded[0], rounded[1], rounded[2], rounded[3]};
}

// A block: one K-tile of inputs of 64 rows, two warps for each tile; a lane has 8 neighbouring
// inputs of a row at a time. Tables in shared memory, an entry's of all rows side by side.
template <int kBits>
__device__ __forceinline__ void DequantizeTile(const LayerView& layer, const Target& target,
                                               int64_t first_row, int k_tile) {
  constexpr int kEntries = 1 << kBits, kRows = static_cast<int>(kPaddedRows);
  constexpr int kLoads = 2 * kBits / kTileWarps, kGroups = kTileSteps / kTileWarps;  // of a warp
  __shared__ uint16_t table[kEntries][kRows];
  for (int i = static_cast<int>(threadIdx.x); i < kEntries * kRows; i += kThreads)
    table[i / kRows][i % kRows] = layer.table[(first_row + i % kRows) * kEntries + i / kRows];
  __syncthreads();
  const int warp = WarpOfBlock(), lane = Lane();
  const int tile = warp / kTileWarps, part = warp % kTileWarps;
  uint32_t words[4 * kLoads];
  const uint4* const at =
      reinterpret_cast<const uint4*>(layer.indices + IndexWords(kBits, layer.padded_inputs,
                                                                first_row / kTileRows + tile,
                                                                k_tile, lane)) +
      part * kLoads * kLanes;
#pragma unroll
  for (int load = 0; load < kLoads; ++load) {
    const uint4 loaded = LoadOnce(at + load * kLanes);
    words[4 * load] = loaded.x, words[4 * load + 1] = loaded.y;
    words[4 * load + 2] = loaded.z, words[4 * load + 3] = loaded.w;
  }
#pragma unroll
  for (int group = 0; group < kGroups; ++group) {
    Codec<kBits>::Collect(words, group);
#pragma unroll
    for (int slice = 0; slice < kStepSlices; ++slice) {
      const uint32_t indices = Codec<kBits>::Slice(words, group, slice);
      const int in_block = tile * kTileRows + RowOfSlice(lane, slice);
      uint32_t pairs[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint32_t pair = indices >> (8 * i);
        pairs[i] = table[pair & (kEntries - 1)][in_block] |
                   static_cast<uint32_t>(table[pair >> 4 & (kEntries - 1)][in_block]) << 16;
      }
      Store8(layer, target, static_cast<int>(first_row) + in_block,
             k_tile * kTileInputs + (part * kGroups + group) * kStepInputs + slice * 8, pairs);
    }
  }
}

__global__ void DequantizeKernel(LayerView layer, Target target) {
  const int k_tile = static_cast<int>(blockIdx.x);
  const int64_t first_row = (target.first_row / kPaddedRows + blockIdx.y) * kPaddedRows;
  if (layer.index_bits == 4) {
    DequantizeTile<4>(layer, target, first_row, k_tile);
  } else {
    DequantizeTile<3>(layer, target, first_row, k_tile);
  }
}

// The sum of table entry and outlier, rounded once. Two warps have a tile and K-tile.
__global__ void PutOutliersKernel(LayerView layer, Target target) {
  constexpr int kTileThreads = kTileWarps * kLanes;
  const int64_t k_tiles = layer.padded_inputs / kTileInputs, k_tile = blockIdx.x;
  const int64_t tile = (target.first_row / kPaddedRows + blockIdx.y) * (kPaddedRows / kTileRows) +
                       static_cast<int64_t>(threadIdx.x) / kTileThreads;
  const int32_t* const begin = layer.outlier_begin + tile * k_tiles + k_tile;
  for (int64_t e = int64_t{begin[0]} * kOutlierBlock + threadIdx.x % kTileThreads;
       e < int64_t{begin[1]} * kOutlierBlock; e += kTileThreads) {
    const uint32_t* const words = layer.outlier_blocks + OutlierWord(e);
    const float value = HalfValue(words[0] >> OutlierShift(e));
    if (value == 0) continue;  // it may fill up an outlier block
    const uint32_t position = words[1] >> OutlierShift(e);
    const int64_t row = tile * kTileRows + OutlierRow(position);
    const int64_t column = k_tile * kTileInputs + OutlierInput(position),
                  to = row - target.first_row;
    if (to < 0 || to >= target.out.rows) continue;
    const float scale = target.row_scaled ? layer.row_scale[row] : 1.0f;
    const float dense =
        HalfValue(layer.table[(row << layer.index_bits) + IndexAt(layer, row, column)]);
    StoreElement(target.out, to, column, (dense + value) * scale);
  }
}

}  // namespace

void Dequantize(const LayerView& layer, int64_t first_row, const CudaMatrix& out, bool row_scaled,
                cudaStream_t stream) {
  if (out.rows == 0) return;
  const Target target = {out, static_cast<int>(first_row), row_scaled};
  const int64_t groups = CeilDivide(first_row + out.rows, kPaddedRows) - first_row / kPaddedRows;
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(layer.padded_inputs / kTileInputs), static_cast<unsigned>(groups));
  shape.block = dim3(kThreads);
  Launch("dequantize", shape, stream, DequantizeKernel, layer, target);
  if (layer.outlier_begin == nullptr) return;
  Launch("outliers", shape, stream, PutOutliersKernel, layer, target);
}

}  // namespace sq::cuda
