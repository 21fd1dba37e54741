#include "sq/packed/csr.h"

#include "sq/base/error.h"

namespace sq {

void ValidateCsr(const Csr& csr, int64_t out_features, int64_t in_features,
                 const std::string& what) {
  if (csr.row_ptr.empty()) {
    SQ_CHECK(csr.cols.empty() && csr.vals.empty(), what, ": outliers without row pointers");
    return;
  }
  SQ_CHECK(static_cast<int64_t>(csr.row_ptr.size()) == out_features + 1, what, ": expected ",
           out_features + 1, " row pointers, found ", csr.row_ptr.size());
  SQ_CHECK(csr.cols.size() == csr.vals.size(), what, ": ", csr.cols.size(), " columns but ",
           csr.vals.size(), " values");
  SQ_CHECK(csr.row_ptr.front() == 0, what, ": expected row pointers from 0, found ",
           csr.row_ptr.front());
  for (int64_t row = 0; row < out_features; ++row) {
    SQ_CHECK(csr.row_ptr[row] <= csr.row_ptr[row + 1], what, ": row pointers fall at row ", row);
  }
  SQ_CHECK(csr.row_ptr.back() == static_cast<int64_t>(csr.cols.size()), what,
           ": row pointers end at ", csr.row_ptr.back(), " but there are ", csr.cols.size(),
           " outliers");
  for (const int32_t col : csr.cols) {
    SQ_CHECK(col >= 0 && col < in_features, what, ": outlier column ", col, " outside [0, ",
             in_features, ")");
  }
}

}  // namespace sq
