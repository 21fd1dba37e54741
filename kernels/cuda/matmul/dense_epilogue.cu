// Prologue and epilogue of the dense product of many tokens: rounding of x to fp16; scales, bias
// and what Epilogue describes on the result.
#include "kernels/cuda/activation.cuh"
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

__global__ void DenseEpilogueKernel(const float* product, LayerView layer, int64_t first,
                                    int64_t rows, float scale, CudaMatrix y, Epilogue end) {
  const int64_t token = blockIdx.y, i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const auto value_of = [&](int64_t r) {
    const int64_t row = first + r;
    const float value = product[token * rows + r] * (layer.row_scale[row] * scale);
    return layer.bias != nullptr ? value + layer.bias[row] : value;
  };
  if (end.gated) {
    if (2 * i < rows)
      StoreElement(y, token, first / 2 + i, Gate(end.gating, value_of(2 * i), value_of(2 * i + 1)));
    return;
  }
  if (i >= rows) return;
  float value = value_of(i);
  if (end.add.data != nullptr) value += LoadElement(end.add, token, first + i);
  StoreElement(y, token, first + i, value);
}

}  // namespace

void ConvertInput(const CudaMatrix& x, uint16_t* out, int64_t stride, cudaStream_t stream) {
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(CeilDivide(stride, kThreads)), static_cast<unsigned>(x.rows));
  shape.block = dim3(kThreads);
  Launch("convert the input", shape, stream, ConvertInputKernel, x, out, stride);
}

void DenseEpilogue(const float* product, const LayerView& layer, int64_t first, int64_t rows,
                   float scale, const CudaMatrix& y, const Epilogue& end, cudaStream_t stream) {
  LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(CeilDivide(end.gated ? rows / 2 : rows, kThreads)),
                    static_cast<unsigned>(y.rows));
  shape.block = dim3(kThreads);
  Launch("dense epilogue", shape, stream, DenseEpilogueKernel, product, layer, first, rows, scale,
         y, end);
}

}  // namespace sq::cuda
