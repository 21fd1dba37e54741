// y += S x, see cuda_csr.h. A row is the work of 8 lanes, a long one of a thread block of its own.
#include <vector>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/matmul/kernels.h"
#include "kernels/cuda/reduce.cuh"
#include "sq/kernels/cuda_csr.h"

namespace sq {

using cuda::Buffer;

struct CudaCsr::State {
  int64_t rows = 0, cols = 0;
  Buffer<int32_t> row_ptr, columns, long_rows;
  Buffer<float> values;
};

namespace cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLanesPerShortRow = 8;
constexpr int kShortRows = kThreads / kLanesPerShortRow;  // of a thread block
constexpr int kLongEntries = 1024;                        // from here on a row is long
constexpr int kTokens = 4;                                // of a thread block

struct CsrArguments {
  int32_t rows;
  const int32_t* row_ptr;
  const int32_t* columns;
  const float* values;
  const int32_t* long_rows;
  int short_blocks;  // then a block for each long row
  CudaMatrix x, y;
};

__device__ __forceinline__ void AddEntries(const CsrArguments& a, int32_t begin, int32_t end,
                                           int step, int64_t token, float (&sums)[kTokens]) {
  for (int32_t e = begin; e < end; e += step) {
    const float value = a.values[e];
    const int32_t column = a.columns[e];
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (token + t < a.x.rows) sums[t] += value * LoadElement(a.x, token + t, column);
    }
  }
}

__device__ __forceinline__ void AddToY(const CsrArguments& a, int64_t row, int64_t token,
                                       float sum) {
  if (token < a.x.rows) StoreElement(a.y, token, row, LoadElement(a.y, token, row) + sum);
}

__global__ void CsrMatmulKernel(CsrArguments a) {
  const int thread = static_cast<int>(threadIdx.x), block = static_cast<int>(blockIdx.x);
  const int64_t token = static_cast<int64_t>(blockIdx.y) * kTokens;
  float sums[kTokens] = {};
  if (block < a.short_blocks) {
    const int32_t row = block * kShortRows + thread / kLanesPerShortRow;
    int32_t begin = 0, end = 0;
    if (row < a.rows) {
      begin = a.row_ptr[row];
      end = a.row_ptr[row + 1];
      if (end - begin >= kLongEntries) end = begin;
    }
    AddEntries(a, begin + thread % kLanesPerShortRow, end, kLanesPerShortRow, token, sums);
    for (float& sum : sums) sum = LanesSum(sum, 1, kLanesPerShortRow);
    if (end == begin || thread % kLanesPerShortRow != 0) return;
#pragma unroll
    for (int t = 0; t < kTokens; ++t) AddToY(a, row, token + t, sums[t]);
    return;
  }
  __shared__ float warp_sums[kThreads / kLanes][kTokens];
  const int32_t row = a.long_rows[block - a.short_blocks];
  AddEntries(a, a.row_ptr[row] + thread, a.row_ptr[row + 1], kThreads, token, sums);
  for (float& sum : sums) sum = LanesSum(sum);
  if (thread % kLanes == 0) {
#pragma unroll
    for (int t = 0; t < kTokens; ++t) warp_sums[thread / kLanes][t] = sums[t];
  }
  __syncthreads();
  if (thread >= kTokens) return;
  float sum = 0;
  for (int w = 0; w < kThreads / kLanes; ++w) sum += warp_sums[w][thread];
  AddToY(a, row, token + thread, sum);
}

}  // namespace
}  // namespace cuda

CudaCsr::CudaCsr(const CsrView& csr, int64_t out_features, int64_t in_features)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.rows = out_features;
  state.cols = in_features;
  if (csr.Empty()) return;
  const auto entries = static_cast<size_t>(csr.nonzeros);
  const std::vector<int32_t> row_ptr(csr.row_ptr, csr.row_ptr + out_features + 1);
  std::vector<int32_t> long_rows;
  for (int64_t row = 0; row < out_features; ++row) {
    if (row_ptr[row + 1] - row_ptr[row] >= cuda::kLongEntries)
      long_rows.push_back(static_cast<int32_t>(row));
  }
  state.row_ptr = Buffer<int32_t>(row_ptr, "rows of a sparse matrix");
  state.columns = Buffer<int32_t>(std::vector<int32_t>(csr.cols, csr.cols + entries),
                                  "columns of a sparse matrix");
  state.values =
      Buffer<float>(std::vector<float>(csr.vals, csr.vals + entries), "values of a sparse matrix");
  state.long_rows = Buffer<int32_t>(long_rows, "rows of a sparse matrix");
}
CudaCsr::~CudaCsr() = default;

void CudaCsrMatmul(const CudaContext& context, const CudaCsr& csr, const CudaMatrix& x,
                   const CudaMatrix& y) {
  const CudaCsr::State& state = csr.state();
  SQ_CHECK(x.cols == state.cols && y.cols == state.rows && x.rows == y.rows, "sparse matrix of [",
           state.rows, ", ", state.cols, "]: x is [", x.rows, ", ", x.cols, "], y is [", y.rows,
           ", ", y.cols, "]");
  if (x.rows == 0 || state.values.count() == 0) return;
  cuda::CsrArguments arguments;
  arguments.rows = static_cast<int32_t>(state.rows);
  arguments.row_ptr = state.row_ptr.data();
  arguments.columns = state.columns.data();
  arguments.values = state.values.data();
  arguments.long_rows = state.long_rows.data();
  arguments.short_blocks = static_cast<int>(cuda::CeilDivide(state.rows, cuda::kShortRows));
  arguments.x = x;
  arguments.y = y;
  cuda::LaunchShape shape;
  shape.grid = dim3(static_cast<unsigned>(arguments.short_blocks + state.long_rows.count()),
                    static_cast<unsigned>(cuda::CeilDivide(x.rows, cuda::kTokens)));
  shape.block = dim3(cuda::kThreads);
  cuda::Launch("sparse product", shape, static_cast<cudaStream_t>(context.stream()),
               cuda::CsrMatmulKernel, arguments);
}

}  // namespace sq
