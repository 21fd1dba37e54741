#include "sq/model/linear.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>

#include "sq/base/error.h"
#include "sq/base/parallel.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/kernels/packed_matmul.h"

namespace sq {
namespace {

constexpr int64_t kRowsAtOnce = 256;  // of a dense weight, for one thread
// Up to so many tokens a dense product waits for the weights rather than for the arithmetic.
constexpr int64_t kFewTokens = 64;

at::Tensor Wrap(const float* data, int64_t rows, int64_t cols, int64_t stride) {
  return at::from_blob(const_cast<float*>(data), {rows, cols}, {stride, 1}, at::kFloat);
}

// LibTorch's matrix product as the kernel library's Gemm.
void TorchGemm(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y) {
  const c10::NoGradGuard no_grad;
  at::Tensor out = Wrap(y.data, y.rows, y.cols, y.stride);
  at::mm_out(out, Wrap(x.data, x.rows, x.cols, x.stride),
             Wrap(w.data, w.rows, w.cols, w.stride).t());
}

at::Tensor ApplyPacked(const PackedLayer& layer, const at::Tensor& x) {
  const at::Tensor in = x.detach().contiguous();
  const int64_t tokens = in.numel() / layer.in_features;
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = layer.out_features;
  at::Tensor out = at::empty(shape, at::kFloat);
  PackedMatmul(layer, {in.const_data_ptr<float>(), tokens, layer.in_features},
               {out.mutable_data_ptr<float>(), tokens, layer.out_features}, TorchGemm);
  return out;
}

// Rows [begin, begin + count) of a dense weight, fp32.
at::Tensor Rows(const Linear& linear, int64_t begin, int64_t count, int64_t in_features) {
  if (!linear.stored) return linear.weight.narrow(0, begin, count);
  at::Tensor rows = at::empty({count, in_features}, at::kFloat);
  ReadFloats(*linear.stored, begin * in_features, count * in_features,
             rows.mutable_data_ptr<float>());
  return rows;
}

// The weights' rows are shared out among the threads, so that each weight is read once.
at::Tensor ApplyByRows(const Linear& linear, const at::Tensor& x) {
  const int64_t out_features = linear.stored ? linear.stored->shape[0] : linear.weight.size(0);
  const int64_t in_features = x.size(-1);
  const at::Tensor in = x.reshape({-1, in_features});
  at::Tensor out = at::empty({in.size(0), out_features}, at::kFloat);
  ParallelFor((out_features + kRowsAtOnce - 1) / kRowsAtOnce, [&](int64_t block) {
    const c10::NoGradGuard no_grad;
    const int64_t begin = block * kRowsAtOnce;
    const int64_t count = std::min(kRowsAtOnce, out_features - begin);
    at::Tensor part = out.narrow(1, begin, count);
    at::mm_out(part, in, Rows(linear, begin, count, in_features).t());
  });
  if (linear.bias.defined()) out.add_(linear.bias);
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = out_features;
  return out.reshape(shape);
}

}  // namespace

at::Tensor LoadFloats(const FileTensor& tensor, const Shape& expected) {
  CheckShape(tensor, expected);
  at::Tensor floats = at::empty(expected, at::kFloat);
  ReadFloats(tensor, 0, floats.numel(), floats.mutable_data_ptr<float>());
  tensor.Release();
  return floats;
}

Linear LoadDenseWeight(const FileTensor& tensor, const Shape& expected, DenseWeights dense) {
  Linear linear;
  if (dense == DenseWeights::kFloat) {
    linear.weight = LoadFloats(tensor, expected);
    return linear;
  }
  CheckShape(tensor, expected);
  float first;
  ReadFloats(tensor, 0, 1, &first);  // an error now if it holds no floats
  linear.stored = tensor;
  return linear;
}

Linear LoadLinear(const TensorStore& store, const LinearInfo& info, DenseWeights dense) {
  if (HasPackedLayer(store, info.name)) {
    Linear linear;
    linear.packed = std::make_shared<const PackedLayer>(
        ReadPackedLayer(store, info.name, info.out_features, info.in_features));
    return linear;
  }
  Linear linear = LoadDenseWeight(store.Get(info.name + ".weight"),
                                  {info.out_features, info.in_features}, dense);
  if (info.bias) linear.bias = LoadFloats(store.Get(info.name + ".bias"), {info.out_features});
  return linear;
}

at::Tensor ApplyLinear(const Linear& linear, const at::Tensor& x) {
  if (linear.packed != nullptr) return ApplyPacked(*linear.packed, x);
  const bool few_tokens = x.numel() / x.size(-1) <= kFewTokens;
  if (linear.stored || (few_tokens && !c10::GradMode::is_enabled())) return ApplyByRows(linear, x);
  return at::linear(x, linear.weight, linear.bias);
}

}  // namespace sq
