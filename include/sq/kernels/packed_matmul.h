// The one entry of the kernel library: y = W x for a packed layer and any number of tokens.
#pragma once

#include <cstdint>
#include <functional>

#include "sq/base/matrix_view.h"
#include "sq/base/parallel.h"
#include "sq/packed/packed_layer.h"

namespace sq {

// A dense product of the caller's library of choice: y [tokens][rows] = x [tokens][in] * w^T with
// w [rows][in]. Called from several threads at a time, on each for other columns of y.
using Gemm = void (*)(MatrixView<const float> x, MatrixView<const float> w, MatrixView<float> y);

// The caller's threads, by ParallelFor's contract (base/parallel.h): ParallelFor itself, or a host
// program's own pool, so that one process does not keep two.
using Loop = void (*)(int64_t count, const std::function<void(int64_t)>& body);

// From this many tokens on, decoding tiles of the weight for a dense product beats the LUT-GEMV.
constexpr int64_t kGemmTokens = 8;

// y[t][o] = sum over i of weight[o][i] * x[t][i], plus bias[o]; outliers are part of the weight.
// x: [tokens][in_features]; y: [tokens][out_features], overwritten. `layer` must be valid
// (ValidatePackedLayer).
//
// Fewer than kGemmTokens tokens, or no `gemm`: the LUT-GEMV and the CSR SpMV, a token at a time.
// Else tiles of rows are decoded to fp32, outliers added, and handed to `gemm`. Sums are fp32, in
// an order that depends on the sizes alone, so results are the same for any thread count if gemm's
// are.
void PackedMatmul(const PackedView& layer, MatrixView<const float> x, MatrixView<float> y,
                  Gemm gemm = nullptr, Loop loop = ParallelFor);

}  // namespace sq
