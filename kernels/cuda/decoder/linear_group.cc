// decoder_model.h's Multiply: linear layers of one input, packed or dense.
#include "kernels/cuda/decoder/decoder_model.h"

namespace sq::cuda {

void Multiply(const Products& by, const LinearGroup& group, const CudaMatrix& x,
              const CudaMatrix& y, bool add, float x_scale) {
  for (const LinearPart& part : group.parts) {
    const CudaMatrix out(static_cast<float*>(y.data) + part.first, CudaType::kFloat32, y.rows,
                         part.rows, y.stride);
    if (part.packed != nullptr) {
      CudaPackedMatmul(by.context, *part.packed, x, out, add ? &out : nullptr, x_scale);
      continue;
    }
    Gemm::Operands operands;
    operands.type = part.dense.type;
    operands.x = x.data;
    operands.tokens = x.rows;
    operands.x_stride = x.stride;
    operands.w = part.dense.values.data();
    operands.rows = part.rows;
    operands.inputs = part.dense.cols;
    operands.w_stride = part.dense.cols;
    operands.y = static_cast<float*>(out.data);
    operands.y_stride = out.stride;
    operands.scale = x_scale;
    operands.accumulate = add;
    by.gemm.Multiply(operands, by.queue.stream);
    if (part.bias.data() != nullptr) AddBias(by.queue, part.bias.data(), out);
  }
}

}  // namespace sq::cuda
