#include "sq/calib/layer_statistics.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "sq/model/linear.h"

namespace sq {
namespace {

constexpr int64_t kRowsAtOnce = 256;  // of a weight, for one thread: the product stays in its cache

// Rows of one linear layer's matrix.
struct RowBlock {
  size_t linear;
  int64_t begin, count;
};

// By way of page-locked memory, as a device copies fastest.
at::Tensor ToHost(const at::Tensor& tensor) {
  if (tensor.device().is_cpu()) return tensor;
  return at::empty(tensor.sizes(), at::TensorOptions().dtype(at::kFloat).pinned_memory(true))
      .copy_(tensor);
}

void AddSquares(const std::vector<LayerSamples>& batches, const RowBlock& block,
                const at::Tensor& matrix) {
  const c10::NoGradGuard no_grad;
  at::Tensor rows = matrix.narrow(0, block.begin, block.count);
  for (const LayerSamples& batch : batches) {
    const LinearSamples& samples = batch[block.linear];
    for (int64_t sample = 0; sample < samples.input.size(0); ++sample) {
      const at::Tensor output_gradient = samples.output_gradient[sample];
      const at::Tensor gradient = FloatProduct(
          output_gradient.narrow(1, block.begin, block.count).t(), samples.input[sample]);
      rows.addcmul_(gradient, gradient);
    }
  }
}

}  // namespace

SquaredGradients::SquaredGradients(const std::vector<LinearInfo>& linears, const Device& device)
    : device_(device) {
  const auto options = at::TensorOptions().dtype(at::kFloat).device(TensorDevice(device));
  for (const LinearInfo& linear : linears) {
    matrices_.push_back(at::zeros({linear.out_features, linear.in_features}, options));
  }
}

void SquaredGradients::Add(const std::vector<LayerSamples>& batches) {
  std::vector<RowBlock> blocks;
  for (size_t linear = 0; linear < matrices_.size(); ++linear) {
    const int64_t rows = matrices_[linear].size(0);
    const int64_t rows_at_once = device_.cuda ? rows : kRowsAtOnce;
    for (int64_t begin = 0; begin < rows; begin += rows_at_once) {
      blocks.push_back({linear, begin, std::min(rows_at_once, rows - begin)});
    }
  }
  DeviceFor(device_, static_cast<int64_t>(blocks.size()), [&](int64_t b) {
    const RowBlock& block = blocks[static_cast<size_t>(b)];
    AddSquares(batches, block, matrices_[block.linear]);
  });
}

std::vector<at::Tensor> SquaredGradients::TakeMatrices() {
  for (at::Tensor& matrix : matrices_) matrix = ToHost(matrix);
  return std::move(matrices_);
}

}  // namespace sq
