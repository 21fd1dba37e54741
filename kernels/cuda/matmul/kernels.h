// The kernels behind cuda_matmul.h, each queued on a stream.
#pragma once

#include <memory>

#include "kernels/cuda/matmul/layout.h"
#include "kernels/cuda/runtime.h"
#include "sq/kernels/cuda_matmul.h"

namespace sq::cuda {

// Rows [first_row, first_row + out.rows), outliers added; divided by the row's scale unless
// row_scaled.
void Dequantize(const LayerView& layer, int64_t first_row, const CudaMatrix& out, bool row_scaled,
                cudaStream_t stream);

// fp16(x * kInputScale), padded with zeros to `stride` columns: [x.rows][stride].
void ConvertInput(const CudaMatrix& x, uint16_t* out, int64_t stride, cudaStream_t stream);

// An RMSNorm of one token, fused into the two products around it: the first one's epilogue stores
// its result times the norm's weight and sums of squares; the second one's prologue divides by the
// root of the mean square before it rounds to fp16. Device memory at multiples of 16 bytes.
struct FusedNorm {
  const float* weight = nullptr;  // [size]; null: none
  float epsilon = 0;
  float* weighted = nullptr;  // [size]
  float* squares = nullptr;   // [NormSums(size)], of 32 rows each; 0 for tiles beyond the last row
};
constexpr int64_t NormSums(int64_t size) { return CeilDivide(size, 4 * kTileRows) * 4; }

// What a product does to its result besides scale and bias: adds `add`, if that has data, or gates
// rows 2i and 2i + 1, if `gated`; then the first half of `norm`, if there is one.
struct Epilogue {
  CudaMatrix add;
  bool gated = false;
  CudaGating gating;
  FusedNorm norm;
};

// The input of a product.
struct Prologue {
  CudaMatrix x;
  float scale = 1;
  FusedNorm norm;  // with a weight, its second half gives the one token's x, and `x` is not read
};
// CudaPackedMatmul with every prologue and epilogue.
void PackedMatmul(const CudaContext& context, const CudaLayer& layer, const Prologue& input,
                  const CudaMatrix& y, const Epilogue& end);

// y[t][first + r] = product[t][r] * row_scale * scale + bias for r < rows, and then what `end`
// says; product: fp32 [tokens][rows]; of a gating `first` and `rows` are even.
void DenseEpilogue(const float* product, const LayerView& layer, int64_t first, int64_t rows,
                   float scale, const CudaMatrix& y, const Epilogue& end, cudaStream_t stream);

// Dense products by a library, fp32 sums. One object a stream.
class Gemm {
 public:
  Gemm();
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // y [tokens][rows] = x [tokens][inputs] * w^T, w [rows][inputs]; fp16, or bf16 where that is
  // said, to fp32. Strides in elements, of x and w multiples of 8.
  struct Operands {
    FloatType type = FloatType::kFloat16;  // of x and w
    const void* x = nullptr;
    int64_t tokens = 0, x_stride = 0;
    const void* w = nullptr;
    int64_t rows = 0, inputs = 0, w_stride = 0;
    float* y = nullptr;
    int64_t y_stride = 0;
    float scale = 1;          // of the product
    bool accumulate = false;  // y += it
  };
  void Multiply(const Operands& operands, cudaStream_t stream);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sq::cuda
