// Dense products by cuBLASLt.
#include <cublasLt.h>

#include <map>
#include <tuple>

#include "kernels/cuda/matmul/kernels.h"

namespace sq::cuda {
namespace {

constexpr size_t kWorkspaceBytes = 32 << 20;  // what NVIDIA advises for compute capability 9.0

void CheckBlas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw Error(StrCat("cuBLASLt: ", what, ": ", cublasLtGetStatusString(status)));
  }
}

// A layout, in cuBLASLt's column-major terms.
struct Layout {
  cublasLtMatrixLayout_t handle = nullptr;
  Layout(cudaDataType_t type, int64_t rows, int64_t cols, int64_t stride) {
    CheckBlas(cublasLtMatrixLayoutCreate(&handle, type, static_cast<uint64_t>(rows),
                                         static_cast<uint64_t>(cols), stride),
              "layout");
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(handle); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
};

struct Description {
  cublasLtMatmulDesc_t handle = nullptr;
  Description() {
    CheckBlas(cublasLtMatmulDescCreate(&handle, CUBLAS_COMPUTE_32F, CUDA_R_32F), "description");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    CheckBlas(cublasLtMatmulDescSetAttribute(handle, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                             sizeof transposed),
              "description");
  }
  ~Description() { cublasLtMatmulDescDestroy(handle); }
  Description(const Description&) = delete;
  Description& operator=(const Description&) = delete;
};

struct Preference {
  cublasLtMatmulPreference_t handle = nullptr;
  explicit Preference(size_t workspace) {
    CheckBlas(cublasLtMatmulPreferenceCreate(&handle), "preference");
    CheckBlas(cublasLtMatmulPreferenceSetAttribute(handle, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                   &workspace, sizeof workspace),
              "preference");
  }
  ~Preference() { cublasLtMatmulPreferenceDestroy(handle); }
  Preference(const Preference&) = delete;
  Preference& operator=(const Preference&) = delete;
};

}  // namespace

struct Gemm::State {
  cublasLtHandle_t handle = nullptr;
  Buffer<uint8_t> workspace;
  // The library's first choice for a shape, asked for once.
  using Shape = std::tuple<FloatType, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t>;
  std::map<Shape, cublasLtMatmulAlgo_t> algorithms;
  ~State() {
    if (handle != nullptr) cublasLtDestroy(handle);
  }
};

Gemm::Gemm() : state_(std::make_unique<State>()) {
  CheckBlas(cublasLtCreate(&state_->handle), "start");
  state_->workspace = Buffer<uint8_t>(kWorkspaceBytes, "cuBLASLt's workspace");
}
Gemm::~Gemm() = default;

void Gemm::Multiply(const Operands& o, cudaStream_t stream) {
  SQ_DCHECK(o.type != FloatType::kFloat32);
  const cudaDataType_t type = o.type == FloatType::kFloat16 ? CUDA_R_16F : CUDA_R_16BF;
  // Column-major: y^T [rows x tokens] = w^T^T [rows x inputs] * x^T [inputs x tokens].
  const Layout w(type, o.inputs, o.rows, o.w_stride), x(type, o.inputs, o.tokens, o.x_stride);
  const Layout y(CUDA_R_32F, o.rows, o.tokens, o.y_stride);
  const Description description;
  const State::Shape shape(o.type, o.tokens, o.x_stride, o.rows, o.inputs, o.w_stride, o.y_stride);
  auto found = state_->algorithms.find(shape);
  if (found == state_->algorithms.end()) {
    const Preference preference(kWorkspaceBytes);
    cublasLtMatmulHeuristicResult_t result;
    int count = 0;
    CheckBlas(
        cublasLtMatmulAlgoGetHeuristic(state_->handle, description.handle, w.handle, x.handle,
                                       y.handle, y.handle, preference.handle, 1, &result, &count),
        "choosing an algorithm");
    SQ_CHECK(count > 0, "cuBLASLt: no algorithm for [", o.tokens, ", ", o.inputs, "] x [", o.inputs,
             ", ", o.rows, "]");
    found = state_->algorithms.emplace(shape, result.algo).first;
  }
  const float scale = o.scale, kept = o.accumulate ? 1 : 0;
  CheckBlas(cublasLtMatmul(state_->handle, description.handle, &scale, o.w, w.handle, o.x, x.handle,
                           &kept, o.y, y.handle, o.y, y.handle, &found->second,
                           state_->workspace.data(), kWorkspaceBytes, stream),
            "product");
}

}  // namespace sq::cuda
