// A packed layer's rows as plain matrices: for dense products of many tokens, and for whoever wants
// the weights. A warp reads codes by 128 bits a lane and writes 16 bytes a lane; the outliers are
// put on top by a second kernel.
#include "kernels/cuda/codec3.cuh"
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/kernels.h"

namespace sq::cuda {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / kLanes;
constexpr int kSparseLanes = 8;  // of a row, where outliers are put on top

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
  if (target.out.type == CudaType::kFloat16 && scale == 1.0f) {
    *reinterpret_cast<uint4*>(static_cast<uint16_t*>(target.out.data) + at) = {words[0], words[1],
                                                                               words[2], words[3]};
    return;
  }
  float values[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) values[i] = HalfValue(words[i / 2] >> (16 * (i % 2))) * scale;
  if (target.out.type == CudaType::kFloat32) {
    auto* to32 = reinterpret_cast<float4*>(static_cast<float*>(target.out.data) + at);
    to32[0] = {values[0], values[1], values[2], values[3]};
    to32[1] = {values[4], values[5], values[6], values[7]};
    return;
  }
  uint32_t rounded[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    rounded[i] = target.out.type == CudaType::kFloat16
                     ? PackHalves(values[2 * i], values[2 * i + 1])
                     : PackBFloats(values[2 * i], values[2 * i + 1]);
  }
  *reinterpret_cast<uint4*>(static_cast<uint16_t*>(target.out.data) + at) = {
      rounded[0], rounded[1], rounded[2], rounded[3]};
}

// A block: one unit of inputs of 64 rows. Lane l of a warp has row l of a tile of 32; the entries
// of its table lie in its own bank of shared memory.
__device__ __forceinline__ void Dequantize4(const LayerView& layer, const Target& target, int group,
                                            int unit) {
  __shared__ uint32_t table[2][16][kLanes];
  const int warp = static_cast<int>(threadIdx.x) / kLanes,
            lane = static_cast<int>(threadIdx.x) % kLanes;
  const int tile = warp % 2, row = group * kGroupRows + tile * kLanes + lane;
  constexpr int kBlocks = kUnitInputs / static_cast<int>(kBlockInputs4);  // of a unit
  for (int code = warp / 2; code < 16; code += kWarps / 2)
    table[tile][code][lane] = layer.table[row * 16 + code];
  __syncthreads();
  for (int block = warp / 2; block < kBlocks; block += kWarps / 2) {
    const uint4 codes = LoadOnce(reinterpret_cast<const uint4*>(
        layer.codes +
        CodeWords4(layer.padded_inputs, 2 * group + tile, unit * kBlocks + block, lane)));
    const uint32_t words[4] = {codes.x, codes.y, codes.z, codes.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      uint32_t pairs[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        pairs[j] = table[tile][words[i] >> (8 * j) & 15][lane] |
                   table[tile][words[i] >> (8 * j + 4) & 15][lane] << 16;
      }
      Store8(layer, target, row,
             unit * kUnitInputs + block * static_cast<int>(kBlockInputs4) + 8 * i, pairs);
    }
  }
}

// A warp: one tile of 16 rows; lane 4g+q has rows g and g+8, 8 neighbouring inputs at a time.
__device__ __forceinline__ void Dequantize3(const LayerView& layer, const Target& target, int group,
                                            int unit) {
  using Codec = Codec3<1>;
  static_assert(kWarps == Codec::kTiles, "a warp for each tile");
  const int warp = static_cast<int>(threadIdx.x) / kLanes,
            lane = static_cast<int>(threadIdx.x) % kLanes;
  const int row = group * kGroupRows + warp * 16 + lane / 4;
  Codec::Table tables[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) tables[half] = Codec::ReadTable(layer, row + 8 * half);
  uint4 planes[3];
#pragma unroll
  for (int plane = 0; plane < 3; ++plane) {
    planes[plane] = LoadOnce(reinterpret_cast<const uint4*>(
        layer.codes +
        CodeWords3(layer.padded_inputs, group * Codec::kTiles + warp, unit, plane, lane)));
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto word = [&](int plane) {
      return i == 0   ? planes[plane].x
             : i == 1 ? planes[plane].y
             : i == 2 ? planes[plane].z
                      : planes[plane].w;
    };
    uint32_t selectors[4];
    Codec::Selectors(word(0), word(1), word(2), selectors);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        uint32_t words[4];
        Codec::Decode(tables[half], selectors[2 * pair] >> (16 * half), &words[0], &words[1]);
        Codec::Decode(tables[half], selectors[2 * pair + 1] >> (16 * half), &words[2], &words[3]);
        Store8(layer, target, row + 8 * half,
               unit * kUnitInputs + 32 * (2 * i + pair) + lane % 4 * 8, words);
      }
    }
  }
}

__global__ void DequantizeKernel(LayerView layer, Target target) {
  const int unit = static_cast<int>(blockIdx.x);
  const int group = target.first_row / kGroupRows + static_cast<int>(blockIdx.y);
  if (layer.code_bits == 4) {
    Dequantize4(layer, target, group, unit);
  } else {
    Dequantize3(layer, target, group, unit);
  }
}

// The sum of table entry and outlier, rounded once.
__global__ void PutOutliersKernel(LayerView layer, Target target) {
  const int to = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) / kSparseLanes;
  if (to >= target.out.rows) return;
  const int row = target.first_row + to;
  const float scale = target.row_scaled ? layer.row_scale[row] : 1.0f;
  const uint16_t* table = layer.table + (static_cast<int64_t>(row) << layer.code_bits);
  for (int32_t e = layer.sparse_begin[row] + static_cast<int32_t>(threadIdx.x) % kSparseLanes;
       e < layer.sparse_begin[row + 1]; e += kSparseLanes) {
    const uint32_t entry = layer.sparse[e];
    const int64_t k = entry & 0xffff;
    const float dense = HalfValue(table[CodeAt(layer, row, k)]);
    StoreElement(target.out, to, k, (dense + HalfValue(entry >> 16)) * scale);
  }
}

}  // namespace

void Dequantize(const LayerView& layer, int64_t first_row, const CudaMatrix& out, bool row_scaled,
                cudaStream_t stream) {
  if (out.rows == 0) return;
  const Target target = {out, static_cast<int>(first_row), row_scaled};
  const int64_t groups = CeilDivide(first_row + out.rows, kRowGroup) - first_row / kRowGroup;
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(layer.padded_inputs / kUnit), static_cast<unsigned>(groups));
  shape.block = dim3(kThreads);
  Launch("dequantize", shape, stream, DequantizeKernel, layer, target);
  if (layer.sparse_begin == nullptr) return;
  shape.grid = dim3(static_cast<unsigned>(CeilDivide(out.rows * kSparseLanes, kThreads)));
  Launch("outliers", shape, stream, PutOutliersKernel, layer, target);
}

}  // namespace sq::cuda
