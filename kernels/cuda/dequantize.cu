// A packed layer's rows as plain matrices: for dense products of many tokens, and for whoever wants
// the weights.
#include "kernels/cuda/decode.cuh"
#include "kernels/cuda/kernels.h"

namespace sq::cuda {
namespace {

constexpr int kThreads = 256;

// A block a row: first the table's values, then, after a barrier, the outliers on top.
template <typename T, typename Convert>
__device__ void WriteRow(const LayerView& layer, int64_t row, T* out, float scale,
                         Convert convert) {
  const uint16_t* table = layer.table + (row << layer.code_bits);
  for (int64_t k = threadIdx.x; k < layer.inputs; k += kThreads) {
    out[k] = convert(HalfValue(table[CodeAt(layer, row, k)]) * scale);
  }
  if (layer.sparse_begin == nullptr) return;
  __syncthreads();
  for (int32_t e = layer.sparse_begin[row] + static_cast<int32_t>(threadIdx.x);
       e < layer.sparse_begin[row + 1]; e += kThreads) {
    const uint32_t entry = layer.sparse[e];
    const int64_t k = entry & 0xffff;
    const float dense = HalfValue(table[CodeAt(layer, row, k)]);
    out[k] = convert((dense + HalfValue(entry >> 16)) * scale);
  }
}

__global__ void DequantizeKernel(LayerView layer, int64_t first_row, CudaType type, void* out,
                                 int64_t stride, bool row_scaled) {
  const int64_t row = first_row + blockIdx.x;
  const float scale = row_scaled ? layer.row_scale[row] : 1.0f;
  const int64_t at = static_cast<int64_t>(blockIdx.x) * stride;
  if (type == CudaType::kFloat16) {
    WriteRow(layer, row, static_cast<__half*>(out) + at, scale,
             [](float v) { return __float2half_rn(v); });
  } else if (type == CudaType::kBFloat16) {
    WriteRow(layer, row, static_cast<__nv_bfloat16*>(out) + at, scale,
             [](float v) { return __float2bfloat16_rn(v); });
  } else {
    WriteRow(layer, row, static_cast<float*>(out) + at, scale, [](float v) { return v; });
  }
}

}  // namespace

void Dequantize(const LayerView& layer, int64_t first_row, const CudaMatrix& out, bool row_scaled,
                cudaStream_t stream) {
  if (out.rows == 0) return;
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(out.rows));
  shape.block = dim3(kThreads);
  Launch("dequantize", shape, stream, DequantizeKernel, layer, first_row, out.type, out.data,
         out.stride, row_scaled);
}

}  // namespace sq::cuda
