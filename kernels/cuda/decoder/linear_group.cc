// decoder_model.h's products: linear layers of one input, packed or dense, and norms between them.
#include "kernels/cuda/decoder/decoder_model.h"

namespace sq::cuda {

void MultiplyDense(const Products& by, const DenseMatrix& weight, const CudaMatrix& x,
                   const CudaMatrix& y, float scale, bool accumulate) {
  Gemm::Operands operands;
  operands.type = weight.type;
  operands.x = x.data;
  operands.tokens = x.rows;
  operands.x_stride = x.stride;
  operands.w = weight.values.data();
  operands.rows = weight.rows;
  operands.inputs = weight.cols;
  operands.w_stride = weight.cols;
  operands.y = static_cast<float*>(y.data);
  operands.y_stride = y.stride;
  operands.scale = scale;
  operands.accumulate = accumulate;
  by.gemm.Multiply(operands, by.queue.stream);
}

void Multiply(const Products& by, const LinearGroup& group, const Prologue& input,
              const CudaMatrix& y, const Epilogue& end) {
  if (group.gated) return PackedMatmul(by.context, *group.parts.front().packed, input, y, end);
  const bool add = end.add.data != nullptr;
  for (const LinearBlock& part : group.parts) {
    const CudaMatrix out(static_cast<float*>(y.data) + part.first, FloatType::kFloat32, y.rows,
                         part.rows, y.stride);
    if (part.packed != nullptr) {
      Epilogue of_part = end;
      if (add) of_part.add = out;
      PackedMatmul(by.context, *part.packed, input, out, of_part);
      continue;
    }
    MultiplyDense(by, part.dense, input.x, out, input.scale, add);
    if (part.bias.data() != nullptr) AddBias(by.queue, part.bias.data(), out);
  }
}

FusedNormScratch::FusedNormScratch(int64_t size)
    : weighted(size, "activations"),
      squares(std::vector<float>(static_cast<size_t>(NormSums(size)), 0), "activations") {}

FusedNorm FuseNorm(const LinearGroup& from, const NormWeights& norm, float epsilon,
                   const LinearGroup& to, const FusedNormScratch& place) {
  const auto is_packed = [](const LinearGroup& group) {
    return group.parts.size() == 1 && group.parts.front().packed != nullptr;
  };
  if (!is_packed(from) || !is_packed(to) || norm.bias.data() != nullptr) return {};
  return {norm.weight.data(), epsilon, place.weighted.data(), place.squares.data()};
}

}  // namespace sq::cuda
