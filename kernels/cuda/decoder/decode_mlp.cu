// The MLP's activation, and biases of dense layers.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/decoder/decode_kernels.h"
#include "kernels/cuda/vectors.cuh"

namespace sq::cuda {
namespace {

constexpr int kThreads = 256;

template <Activation function>
__global__ void ActivateKernel(CudaMatrix gate, CudaMatrix up, float scale, CudaMatrix out) {
  LetNextStart();
  WaitForPrevious();
  const int64_t row = blockIdx.y,
                column = 4 * (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
  if (column >= out.cols) return;
  float4 y = LoadVector(up, row, column);
  if (gate.data == nullptr) {
    y = make_float4(Apply<function>(y.x), Apply<function>(y.y), Apply<function>(y.z),
                    Apply<function>(y.w));
  } else {
    const float4 g = LoadVector(gate, row, column);
    y = make_float4(y.x * Apply<function>(g.x), y.y * Apply<function>(g.y),
                    y.z * Apply<function>(g.z), y.w * Apply<function>(g.w));
  }
  StoreVector(out, row, column, make_float4(y.x * scale, y.y * scale, y.z * scale, y.w * scale));
}

__global__ void AddBiasKernel(const float* bias, CudaMatrix y) {
  LetNextStart();
  WaitForPrevious();
  const int64_t row = blockIdx.y,
                column = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (column >= y.cols) return;
  static_cast<float*>(y.data)[row * y.stride + column] += bias[column];
}

LaunchShape Shape(const Queue& queue, int64_t columns, int64_t rows) {
  LaunchShape shape;
  shape.grid =
      dim3(static_cast<unsigned>(CeilDivide(columns, kThreads)), static_cast<unsigned>(rows));
  shape.block = dim3(kThreads);
  shape.pdl = queue.pdl;
  return shape;
}

}  // namespace

void Activate(const Queue& queue, Activation function, const CudaMatrix& gate, const CudaMatrix& up,
              float scale, const CudaMatrix& out) {
  SQ_DCHECK(up.type == FloatType::kFloat32 && out.cols % 4 == 0);
  const LaunchShape shape = Shape(queue, out.cols / 4, out.rows);
  const auto launch = [&](auto* kernel) {
    Launch("activation", shape, queue.stream, kernel, gate, up, scale, out);
  };
  switch (function) {
    case Activation::kSilu: return launch(ActivateKernel<Activation::kSilu>);
    case Activation::kRelu: return launch(ActivateKernel<Activation::kRelu>);
    case Activation::kGelu: return launch(ActivateKernel<Activation::kGelu>);
    case Activation::kGeluTanh: return launch(ActivateKernel<Activation::kGeluTanh>);
  }
}

void AddBias(const Queue& queue, const float* bias, const CudaMatrix& y) {
  SQ_DCHECK(y.type == FloatType::kFloat32);
  Launch("bias", Shape(queue, y.cols, y.rows), queue.stream, AddBiasKernel, bias, y);
}

}  // namespace sq::cuda
