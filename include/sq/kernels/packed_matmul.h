// y = W x on the CPU for a packed layer and any number of tokens. (On a CUDA device:
// cuda_matmul.h.)
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "sq/base/matrix_view.h"
#include "sq/base/parallel.h"
#include "sq/packed/packed_layer.h"

namespace sq {

// A packed layer in the layout that the CPU kernels read; the counterpart of CudaLayer. Created
// once when a model is loaded, and safe to use from several threads.
class CpuLayer {
 public:
  // Takes ownership of a valid layer (ValidatePackedLayer).
  explicit CpuLayer(PackedLayer layer);
  // A view of memory owned by the caller, which must outlive this.
  explicit CpuLayer(const PackedView& layer);

  int bits() const { return view_.bits; }
  int64_t out_features() const { return view_.out_features; }
  int64_t in_features() const { return view_.in_features; }
  // Bytes of weights that one product reads.
  int64_t Bytes() const;

  const PackedView& view() const { return view_; }

 private:
  std::shared_ptr<const PackedLayer> owned_;  // null: another program's
  PackedView view_;
};

// A dense product of the caller's library of choice: y [tokens][rows] = x [tokens][in] * w^T with
// w [rows][in]. Called from several threads at a time, on each for other columns of y.
using Gemm = void (*)(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y);

// The caller's threads, by ParallelFor's contract (base/parallel.h): ParallelFor itself, or a host
// program's own pool, so that one process does not keep two.
using Loop = void (*)(int64_t count, const std::function<void(int64_t)>& body);

// From this many tokens on, decoding tiles of the weight for a dense product beats the LUT-GEMV.
constexpr int64_t kGemmTokens = 8;

// y[t][o] = sum over i of weight[o][i] * x[t][i], plus bias[o]; outliers are part of the weight.
// x: [tokens][in_features]; y: [tokens][out_features], overwritten. Throws sq::Error on sizes that
// do not agree.
//
// Fewer than kGemmTokens tokens, or no `gemm`: the LUT-GEMV and the CSR SpMV, a token at a time.
// Else tiles of rows are decoded to fp32, outliers added, and handed to `gemm`. Sums are fp32, in
// an order that depends on the sizes alone, so results are the same for any thread count if gemm's
// are.
void PackedMatmul(const CpuLayer& layer, MatrixView<const float> x, MatrixView<float> y,
                  Gemm gemm = nullptr, Loop loop = ParallelFor);

}  // namespace sq
