#include "sq/packed/csr.h"

#include <algorithm>
#include <limits>

#include "sq/base/error.h"

namespace sq {
namespace {

bool InOrder(const Csr& csr) {
  for (size_t row = 0; row + 1 < csr.row_ptr.size(); ++row) {
    for (int32_t k = csr.row_ptr[row] + 1; k < csr.row_ptr[row + 1]; ++k) {
      if (csr.cols[static_cast<size_t>(k) - 1] >= csr.cols[static_cast<size_t>(k)]) return false;
    }
  }
  return true;
}

}  // namespace

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
    SQ_CHECK(csr.row_ptr[row] <= csr.row_ptr[row + 1], what, ": row pointers decrease at row ",
             row);
  }
  SQ_CHECK(csr.row_ptr.back() == static_cast<int64_t>(csr.cols.size()), what,
           ": row pointers end at ", csr.row_ptr.back(), " but there are ", csr.cols.size(),
           " outliers");
  for (const int32_t col : csr.cols) {
    SQ_CHECK(col >= 0 && col < in_features, what, ": outlier column ", col, " outside [0, ",
             in_features, ")");
  }
}

void AddEntries(const std::vector<CsrEntry>& entries, int64_t out_features, const std::string& what,
                Csr* csr) {
  if (entries.empty() && InOrder(*csr)) return;
  std::vector<CsrEntry> all = entries;
  for (size_t row = 0; row + 1 < csr->row_ptr.size(); ++row) {
    for (int32_t k = csr->row_ptr[row]; k < csr->row_ptr[row + 1]; ++k) {
      const size_t at = static_cast<size_t>(k);
      all.push_back({static_cast<int32_t>(row), csr->cols[at], csr->vals[at]});
    }
  }
  SQ_CHECK(all.size() <= static_cast<size_t>(std::numeric_limits<int32_t>::max()), what, ": ",
           all.size(), " outliers are too many");
  const auto position = [](const CsrEntry& entry) { return std::pair(entry.row, entry.col); };
  std::stable_sort(all.begin(), all.end(),
                   [&](const CsrEntry& a, const CsrEntry& b) { return position(a) < position(b); });
  Csr sorted;
  sorted.row_ptr.assign(static_cast<size_t>(out_features) + 1, 0);
  for (size_t i = 0; i < all.size();) {
    size_t end = i + 1;
    double sum = all[i].val;
    for (; end < all.size() && position(all[end]) == position(all[i]); ++end) sum += all[end].val;
    ++sorted.row_ptr[static_cast<size_t>(all[i].row) + 1];
    sorted.cols.push_back(all[i].col);
    sorted.vals.push_back(end == i + 1 ? all[i].val : static_cast<float>(sum));
    i = end;
  }
  for (size_t row = 1; row < sorted.row_ptr.size(); ++row) {
    sorted.row_ptr[row] += sorted.row_ptr[row - 1];
  }
  *csr = std::move(sorted);
}

}  // namespace sq
