// The torch operator squeezellm::lut_linear: PackedMatmul on torch's tensors and torch's threads.
// Compiled against the torch that will load it; squeezellm_serving/op.py loads it.
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>
#include <torch/library.h>

#include <optional>
#include <vector>

#include "sq/base/error.h"
#include "sq/kernels/packed_matmul.h"

namespace {

at::Tensor Wrap(const float* data, int64_t rows, int64_t cols, int64_t stride) {
  return at::from_blob(const_cast<float*>(data), {rows, cols}, {stride, 1}, at::kFloat);
}

void TorchGemm(sq::MatrixView<const float> x, sq::MatrixView<const float> w,
               sq::MatrixView<float> y) {
  const c10::NoGradGuard no_grad;  // per thread
  at::Tensor out = Wrap(y.data, y.rows, y.cols, y.stride);
  at::mm_out(out, Wrap(x.data, x.rows, x.cols, x.stride),
             Wrap(w.data, w.rows, w.cols, w.stride).t());
}

// torch's threads rather than the pool behind ParallelFor: a server binds torch's to cores, one to
// each, while threads of ours would inherit the one core of the thread that starts them, and
// compete with torch's for it.
void TorchLoop(int64_t count, const std::function<void(int64_t)>& body) {
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

void Check(const at::Tensor& tensor, const char* name, at::ScalarType dtype,
           at::IntArrayRef shape) {
  TORCH_CHECK(tensor.device().is_cpu() && tensor.is_contiguous() && tensor.scalar_type() == dtype &&
                  tensor.sizes() == shape,
              "squeezellm::lut_linear: ", name, ": expected a contiguous CPU tensor of ", dtype,
              " ", shape, ", found ", tensor.scalar_type(), " ", tensor.sizes(), " on ",
              tensor.device());
}

// y[..., o] = sum over i of weight[o][i] * x[..., i] + bias[o], in x's dtype; sums are fp32.
// The weight's tensors as the checkpoint has them: qweight int32 [in/32*bits, out], lookup_table
// float32 [out, 2^bits], outliers rows int32 [out+1], cols int32 [nnz], vals float32 [nnz], all
// three empty where there are none. Their contents are not checked (check_outliers does, once).
at::Tensor LutLinear(const at::Tensor& x, const at::Tensor& qweight, const at::Tensor& lookup_table,
                     const at::Tensor& rows, const at::Tensor& cols, const at::Tensor& vals,
                     const std::optional<at::Tensor>& bias) {
  TORCH_CHECK(x.dim() >= 1 && x.is_floating_point(),
              "squeezellm::lut_linear: x: expected floats [..., in], found ", x.scalar_type(), " ",
              x.sizes());
  TORCH_CHECK(lookup_table.dim() == 2 && qweight.dim() == 2,
              "squeezellm::lut_linear: expected matrices, found qweight ", qweight.sizes(),
              " and lookup_table ", lookup_table.sizes());
  const int64_t in = x.size(-1), out = qweight.size(1), entries = lookup_table.size(1);
  sq::PackedView layer;
  layer.bits = entries == 4 ? 2 : entries == 8 ? 3 : entries == 16 ? 4 : 0;
  TORCH_CHECK(layer.bits != 0 && in % 32 == 0,
              "squeezellm::lut_linear: expected tables of 4, 8 or 16 entries and a multiple of 32 "
              "inputs, found ",
              entries, " and ", in);
  Check(qweight, "qweight", at::kInt, {in / 32 * layer.bits, out});
  Check(lookup_table, "lookup_table", at::kFloat, {out, entries});
  layer.out_features = out;
  layer.in_features = in;
  layer.qweight = reinterpret_cast<const uint32_t*>(qweight.const_data_ptr<int32_t>());
  layer.lookup_table = lookup_table.const_data_ptr<float>();
  if (vals.numel() > 0) {
    Check(rows, "rows", at::kInt, {out + 1});
    Check(cols, "cols", at::kInt, {vals.numel()});
    Check(vals, "vals", at::kFloat, {vals.numel()});
    layer.outliers = {rows.const_data_ptr<int32_t>(), cols.const_data_ptr<int32_t>(),
                      vals.const_data_ptr<float>(), vals.numel()};
  }
  at::Tensor float_bias;
  if (bias) {
    TORCH_CHECK(bias->sizes() == at::IntArrayRef({out}), "squeezellm::lut_linear: bias: expected [",
                out, "], found ", bias->sizes());
    float_bias = bias->to(at::kFloat).contiguous();
    layer.bias = float_bias.const_data_ptr<float>();
  }
  const at::Tensor input = x.to(at::kFloat).contiguous();
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = out;
  at::Tensor y = at::empty(shape, x.options().dtype(at::kFloat));
  const int64_t tokens = out == 0 ? 0 : y.numel() / out;
  sq::PackedMatmul(sq::CpuLayer(layer), {input.const_data_ptr<float>(), tokens, in},
                   {y.mutable_data_ptr<float>(), tokens, out}, TorchGemm, TorchLoop);
  return y.to(x.scalar_type());
}

}  // namespace

TORCH_LIBRARY(squeezellm, library) {
  library.def(
      "lut_linear(Tensor x, Tensor qweight, Tensor lookup_table, Tensor rows, Tensor cols, "
      "Tensor vals, Tensor? bias=None) -> Tensor");
}

TORCH_LIBRARY_IMPL(squeezellm, CPU, library) { library.impl("lut_linear", LutLinear); }
