#include "sq/model/linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstring>
#include <map>
#include <mutex>

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

// What CudaPackedMatmul works with on LibTorch's default stream, one for each device. Never
// destroyed: the driver may be gone by then.
struct SharedContext {
  std::mutex mutex;
  CudaContext context{nullptr};
};

SharedContext& ContextOf(int device) {
  static std::mutex mutex;
  static auto* const contexts = new std::map<int, std::unique_ptr<SharedContext>>;
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<SharedContext>& context = (*contexts)[device];
  if (context == nullptr) context = std::make_unique<SharedContext>();
  return *context;
}

CudaMatrix DeviceMatrix(const at::Tensor& rows) {
  return {rows.data_ptr(), FloatType::kFloat32, rows.size(0), rows.size(1), rows.stride(0)};
}

at::Tensor ApplyCuda(const Linear& linear, const at::Tensor& x) {
  constexpr int64_t kRowElements = 4;  // a row begins at a multiple of 16 bytes
  const int64_t out_features = linear.cuda->out_features();
  const int64_t stride = (out_features + kRowElements - 1) / kRowElements * kRowElements;
  const at::Tensor in = x.detach().contiguous().view({-1, x.size(-1)});
  const at::Tensor out = at::empty({in.size(0), stride}, in.options()).narrow(1, 0, out_features);
  SharedContext& shared = ContextOf(linear.device);
  const std::lock_guard<std::mutex> lock(shared.mutex);
  CudaPackedMatmul(shared.context, *linear.cuda, DeviceMatrix(in), DeviceMatrix(out));
  std::vector<int64_t> shape = x.sizes().vec();
  shape.back() = out_features;
  return out.reshape(shape);
}

// x W^T and its gradient with respect to x, operands rounded to the weight's type, sums fp32: what
// LibTorch offers for a product, but not for its gradient.
struct RoundedLinear : torch::autograd::Function<RoundedLinear> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const at::Tensor& x, const at::Tensor& weight) {
    context->save_for_backward({weight});
    return {Multiply(x, weight.t())};
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const at::Tensor weight = context->get_saved_variables()[0];
    return {Multiply(gradients[0], weight), at::Tensor()};
  }

 private:
  static at::Tensor Multiply(const at::Tensor& x, const at::Tensor& weight) {
    std::vector<int64_t> shape = x.sizes().vec();
    const at::Tensor rows = x.reshape({-1, shape.back()}).to(weight.scalar_type());
    shape.back() = weight.size(1);
    return FloatProduct(rows, weight).view(shape);
  }
};

at::ScalarType TypeOf(const FileTensor& tensor) {
  switch (tensor.dtype) {
    case DType::kF16: return at::kHalf;
    case DType::kBF16: return at::kBFloat16;
    case DType::kF32: return at::kFloat;
    default: {
      float first;
      ReadFloats(tensor, 0, 1, &first);  // throws
      return at::kFloat;
    }
  }
}

// In the device's memory, on the current stream. The file is read into pinned memory, from which
// the copy runs beside what other streams compute, and converted there: bytes that never were wider
// than in the file.
at::Tensor LoadTo(const Device& device, const FileTensor& tensor, const Shape& expected,
                  DenseWeights dense) {
  constexpr int64_t kBytesAtOnce = 1 << 22;
  CheckShape(tensor, expected);
  if (tensor.dtype == DType::kF64) {
    return LoadFloats(tensor, expected)
        .to(TensorDevice(device), dense == DenseWeights::kBFloat16 ? at::kBFloat16 : at::kFloat);
  }
  const at::ScalarType stored = TypeOf(tensor);
  const at::Tensor host = at::empty(
      expected, at::TensorOptions().dtype(stored).pinned_memory(TensorDevice(device).is_cuda()));
  auto* const to = static_cast<uint8_t*>(host.mutable_data_ptr());
  const uint8_t* const from = tensor.data();
  ParallelFor((tensor.bytes + kBytesAtOnce - 1) / kBytesAtOnce, [&](int64_t block) {
    const int64_t begin = block * kBytesAtOnce;
    std::memcpy(to + begin, from + begin,
                static_cast<size_t>(std::min(kBytesAtOnce, tensor.bytes - begin)));
  });
  tensor.Release();
  const at::ScalarType wanted = dense == DenseWeights::kFloat      ? at::kFloat
                                : dense == DenseWeights::kBFloat16 ? at::kBFloat16
                                                                   : stored;
  return host.to(TensorDevice(device), /*non_blocking=*/true).to(wanted);
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

at::Tensor FloatProduct(const at::Tensor& a, const at::Tensor& b) {
  const c10::NoGradGuard no_grad;
  if (a.scalar_type() == at::kFloat) return at::mm(a, b);
  if (a.is_cuda()) return at::mm(a, b, at::kFloat);
  return at::mm(a.to(at::kFloat), b.to(at::kFloat));  // LibTorch has it for CUDA alone
}

at::Tensor LoadFloats(const FileTensor& tensor, const Shape& expected, const Device& device) {
  if (device.cuda) return LoadTo(device, tensor, expected, DenseWeights::kFloat);
  CheckShape(tensor, expected);
  at::Tensor floats = at::empty(expected, at::kFloat);
  ReadFloats(tensor, 0, floats.numel(), floats.mutable_data_ptr<float>());
  tensor.Release();
  return floats;
}

Linear LoadDenseWeight(const FileTensor& tensor, const Shape& expected, DenseWeights dense,
                       const Device& device) {
  Linear linear;
  if (device.cuda) {
    linear.weight = LoadTo(device, tensor, expected, dense);
    return linear;
  }
  SQ_DCHECK(dense != DenseWeights::kBFloat16);
  if (dense == DenseWeights::kFloat || tensor.dtype == DType::kF64) {
    linear.weight = LoadFloats(tensor, expected);
    return linear;
  }
  CheckShape(tensor, expected);
  float first;
  ReadFloats(tensor, 0, 1, &first);  // an error now if it holds no floats
  linear.stored = tensor;
  return linear;
}

Linear LoadLinear(const TensorStore& store, const LinearInfo& info, DenseWeights dense,
                  const Device& device) {
  if (HasPackedLayer(store, info.name)) {
    Linear linear;
    linear.packed = std::make_shared<const PackedLayer>(
        ReadPackedLayer(store, info.name, info.out_features, info.in_features));
    if (device.cuda) {
      linear.cuda = std::make_shared<const CudaLayer>(std::vector<PackedView>{*linear.packed});
      linear.device = device.index;
      linear.packed = nullptr;
    }
    return linear;
  }
  Linear linear = LoadDenseWeight(store.Get(info.name + ".weight"),
                                  {info.out_features, info.in_features}, dense, device);
  if (info.bias) {
    linear.bias = LoadFloats(store.Get(info.name + ".bias"), {info.out_features}, device);
  }
  return linear;
}

at::Tensor ApplyLinear(const Linear& linear, const at::Tensor& x) {
  if (linear.packed != nullptr) return ApplyPacked(*linear.packed, x);
  if (linear.cuda != nullptr) return ApplyCuda(linear, x);
  const at::ScalarType type = linear.weight.defined() ? linear.weight.scalar_type() : at::kFloat;
  if (type != at::kFloat) {
    const at::Tensor y = RoundedLinear::apply(x, linear.weight)[0];
    return linear.bias.defined() ? y + linear.bias : y;
  }
  if (x.is_cuda()) return at::linear(x, linear.weight, linear.bias);
  const bool few_tokens = x.numel() / x.size(-1) <= kFewTokens;
  if (linear.stored || (few_tokens && !c10::GradMode::is_enabled())) return ApplyByRows(linear, x);
  return at::linear(x, linear.weight, linear.bias);
}

}  // namespace sq
