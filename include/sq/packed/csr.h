// The sparse part of a layer: its outliers in compressed sparse row (CSR) format.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sq {

// Row r holds entries row_ptr[r] .. row_ptr[r+1]-1; columns ascend strictly within a row. An empty
// row_ptr means that there is no sparse part, which differs from one without entries only on disk.
struct Csr {
  std::vector<int32_t> row_ptr;  // [out_features + 1]
  std::vector<int32_t> cols;     // [nonzeros], each in [0, in_features)
  std::vector<float> vals;       // [nonzeros]

  int64_t NonZeros() const { return static_cast<int64_t>(vals.size()); }
  bool Empty() const { return vals.empty(); }
};

// A non-owning view of a Csr; null pointers if there is no sparse part.
struct CsrView {
  const int32_t* row_ptr = nullptr;
  const int32_t* cols = nullptr;
  const float* vals = nullptr;
  int64_t nonzeros = 0;

  CsrView() = default;
  CsrView(const int32_t* row_ptr, const int32_t* cols, const float* vals, int64_t nonzeros)
      : row_ptr(row_ptr), cols(cols), vals(vals), nonzeros(nonzeros) {}
  CsrView(const Csr& csr)
      : CsrView(csr.row_ptr.data(), csr.cols.data(), csr.vals.data(), csr.NonZeros()) {}

  bool Empty() const { return nonzeros == 0; }
};

// Throws sq::Error, naming `what`, unless row_ptr starts at 0, never decreases and ends at the
// number of cols and vals, and every column is in [0, in_features). The columns of a row may be in
// any order, since files of the original do not guarantee one. Cost: one pass.
void ValidateCsr(const Csr& csr, int64_t out_features, int64_t in_features,
                 const std::string& what);

// Adds `entries` to a valid matrix of out_features rows and sorts the columns of each row. Entries
// at the same position are replaced by their sum, rounded to fp32 once; all others keep their bits.
// Throws sq::Error, naming `what`, when there are too many entries for int32 row pointers. Cost:
// one pass if the matrix is sorted and `entries` is empty.
struct CsrEntry {
  int32_t row, col;
  float val;
};
void AddEntries(const std::vector<CsrEntry>& entries, int64_t out_features, const std::string& what,
                Csr* csr);

}  // namespace sq
