// The sparse part of a layer: outliers in compressed sparse rows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sq {

// Row r holds entries row_ptr[r] .. row_ptr[r+1]-1; cols ascend inside a row, none twice. An empty
// row_ptr means no sparse part at all, which differs from one without entries only on disk.
struct Csr {
  std::vector<int32_t> row_ptr;  // [out_features + 1]
  std::vector<int32_t> cols;     // [nonzeros], each in [0, in_features)
  std::vector<float> vals;       // [nonzeros]

  int64_t NonZeros() const { return static_cast<int64_t>(vals.size()); }
  bool Empty() const { return vals.empty(); }
};

// A Csr that somebody else owns; null pointers where there is no sparse part.
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

// Throws sq::Error, naming `what`, unless row_ptr starts at 0, never falls, ends at the number of
// cols and vals, and every column lies in [0, in_features). Columns of a row may come in any order:
// the original's files do not promise one. Cost: one pass.
void ValidateCsr(const Csr& csr, int64_t out_features, int64_t in_features,
                 const std::string& what);

// Adds `entries` to a valid matrix of out_features rows, and puts the columns of each row into
// order. Entries of one place become one with their sum, rounded to fp32 once; an entry alone in
// its place keeps its bits. Throws sq::Error, naming `what`, when they are too many for int32 row
// pointers. Cost: one pass over a matrix that is in order already.
struct CsrEntry {
  int32_t row, col;
  float val;
};
void AddEntries(const std::vector<CsrEntry>& entries, int64_t out_features, const std::string& what,
                Csr* csr);

}  // namespace sq
