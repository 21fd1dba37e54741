#include "kernels/cpu/kernels.h"

namespace sq {

void CsrSpmv(const CsrView& csr, const float* x, int64_t begin, int64_t end, float* y) {
  for (int64_t o = begin; o < end; ++o) {
    float sum = 0;
    for (int32_t k = csr.row_ptr[o]; k < csr.row_ptr[o + 1]; ++k) {
      sum += csr.vals[k] * x[csr.cols[k]];
    }
    y[o] += sum;
  }
}

}  // namespace sq
