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

// An RMS norm of one token between two products, without a launch of its own: the first leaves its
// result times the norm's weight, and sums of its squares; the second divides by the root of their
// mean before it rounds to fp16. Device memory at multiples of 16 bytes.
struct PassedNorm {
  const float* weight = nullptr;  // [size]; null: none
  float epsilon = 0;
  float* weighted = nullptr;  // [size]
  float* squares = nullptr;   // [NormSums(size)], of 32 rows each; behind the last that has any, 0
};
constexpr int64_t NormSums(int64_t size) { return CeilDivide(size, 4 * kTileRows) * 4; }

// What a product ends with, beside scale and bias: `add`, if it has data, or a gating of rows 2i
// and 2i + 1, if `gated`; and the norm that comes after it, if there is one.
struct ProductEnd {
  CudaMatrix add;
  bool gated = false;
  CudaGating gating;
  PassedNorm norm;
};

// CudaPackedMatmul with all that a product can begin and end with.
struct ProductInput {
  CudaMatrix x;
  float scale = 1;
  PassedNorm norm;  // of one token, in a packed layer's inputs: then it is x, and that is not read
};
void PackedMatmul(const CudaContext& context, const CudaLayer& layer, const ProductInput& input,
                  const CudaMatrix& y, const ProductEnd& end);

// y[t][first + r] = panel[t][r] * row_scale * scale + bias for r < rows, and then what `end` says;
// panel: fp32 [tokens][rows]; of a gating `first` and `rows` are even.
void FinishPanel(const float* panel, const LayerView& layer, int64_t first, int64_t rows,
                 float scale, const CudaMatrix& y, const ProductEnd& end, cudaStream_t stream);

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
