// y += S x on a CUDA device for a matrix in compressed sparse rows, outside of any packed layer:
// values fp32, exact. (A packed layer's own outliers are part of CudaPackedMatmul's launch and need
// no call here.)
#pragma once

#include <memory>

#include "sq/kernels/cuda_matmul.h"
#include "sq/packed/csr.h"

namespace sq {

class CudaCsr {
 public:
  // Copies a valid matrix (ValidateCsr) to the current device. Throws sq::Error when its memory
  // is too small.
  CudaCsr(const CsrView& csr, int64_t out_features, int64_t in_features);
  ~CudaCsr();
  CudaCsr(const CudaCsr&) = delete;
  CudaCsr& operator=(const CudaCsr&) = delete;

  struct State;
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// y[t][o] += sum over the entries of row o of value * x[t][column]. x: [tokens][in], y:
// [tokens][out], device memory. Sums are fp32, in an order that depends on the row alone. Returns
// when the work is queued. Throws sq::Error on sizes that do not agree. Rows with many entries are
// shared out among more threads, so that one full row does not hold up the rest. Cost: 8 bytes an
// entry for each 4 tokens.
void CudaCsrMatmul(const CudaContext& context, const CudaCsr& csr, const CudaMatrix& x,
                   const CudaMatrix& y);

}  // namespace sq
