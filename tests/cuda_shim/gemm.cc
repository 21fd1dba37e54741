// Dense products in plain loops, where kernels/cuda/matmul/gemm_cublaslt.cc calls cuBLASLt.
#include "kernels/cuda/matmul/kernels.h"
#include "sq/base/half.h"

namespace sq::cuda {

struct Gemm::State {};
Gemm::Gemm() = default;
Gemm::~Gemm() = default;

void Gemm::Multiply(const Operands& o, cudaStream_t stream) {
  if (o.x_stride % 8 != 0 || o.w_stride % 8 != 0)
    throw Error("gemm: strides that are no multiples of 8");
  Check(shim::Submit(stream,
                     [o] {
                       const auto value = [&](const void* matrix, int64_t at) {
                         const uint16_t bits = static_cast<const uint16_t*>(matrix)[at];
                         return o.type == FloatType::kFloat16 ? Fp16ToFloat(bits)
                                                              : Bf16ToFloat(bits);
                       };
                       for (int64_t t = 0; t < o.tokens; ++t) {
                         for (int64_t r = 0; r < o.rows; ++r) {
                           float* y = o.y + t * o.y_stride + r;
                           float sum = 0;
                           for (int64_t k = 0; k < o.inputs; ++k) {
                             sum += value(o.x, t * o.x_stride + k) * value(o.w, r * o.w_stride + k);
                           }
                           *y = (o.accumulate ? *y : 0) + o.scale * sum;
                         }
                       }
                     }),
        "gemm");
}

}  // namespace sq::cuda
