// A non-owning view of a row-major matrix.
#pragma once

#include <cstdint>
#include <type_traits>

#include "sq/base/error.h"

namespace sq {

template <typename T>
struct MatrixView {
  T* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // elements from one row to the next, >= cols

  MatrixView() = default;
  MatrixView(T* data, int64_t rows, int64_t cols) : MatrixView(data, rows, cols, cols) {}
  MatrixView(T* data, int64_t rows, int64_t cols, int64_t stride)
      : data(data), rows(rows), cols(cols), stride(stride) {}
  // A mutable view converts to a read-only one.
  template <typename Writable, typename = std::enable_if_t<std::is_same_v<const Writable, T>>>
  MatrixView(const MatrixView<Writable>& other)
      : MatrixView(other.data, other.rows, other.cols, other.stride) {}

  T* Row(int64_t row) const {
    SQ_DCHECK(row >= 0 && row < rows);
    return data + row * stride;
  }
};

}  // namespace sq
