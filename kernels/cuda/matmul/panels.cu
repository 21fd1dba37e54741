// What stands before and after a dense product: rounding its input, scaling its result.
#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/kernels.h"

namespace sq::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void ConvertInputKernel(CudaMatrix x, uint16_t* out, int64_t stride) {
  const int64_t row = blockIdx.y,
                column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= stride) return;
  const float value = column < x.cols ? LoadElement(x, row, column) : 0;
  out[row * stride + column] = __half_as_ushort(__float2half_rn(value * kInputScale));
}

__global__ void FinishPanelKernel(const float* panel, LayerView layer, int64_t first, int64_t rows,
                                  float scale, CudaMatrix y, CudaMatrix add) {
  const int64_t token = blockIdx.y, r = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (r >= rows) return;
  const int64_t row = first + r;
  float value = panel[token * rows + r] * (layer.row_scale[row] * scale);
  if (layer.bias != nullptr) value += layer.bias[row];
  if (add.data != nullptr) value += LoadElement(add, token, row);
  StoreElement(y, token, row, value);
}

}  // namespace

void ConvertInput(const CudaMatrix& x, uint16_t* out, int64_t stride, cudaStream_t stream) {
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(CeilDivide(stride, kThreads)), static_cast<unsigned>(x.rows));
  shape.block = dim3(kThreads);
  Launch("convert the input", shape, stream, ConvertInputKernel, x, out, stride);
}

void FinishPanel(const float* panel, const LayerView& layer, int64_t first, int64_t rows,
                 float scale, const CudaMatrix& y, const CudaMatrix* add, cudaStream_t stream) {
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(CeilDivide(rows, kThreads)), static_cast<unsigned>(y.rows));
  shape.block = dim3(kThreads);
  Launch("finish a panel", shape, stream, FinishPanelKernel, panel, layer, first, rows, scale, y,
         add == nullptr ? CudaMatrix() : *add);
}

}  // namespace sq::cuda
