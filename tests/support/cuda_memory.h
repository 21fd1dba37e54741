// Matrices in device memory for tests of the CUDA kernels, filled from and read back to the host.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cuda/runtime.h"
#include "sq/base/half.h"
#include "sq/base/matrix_view.h"
#include "sq/kernels/cuda_matmul.h"

namespace sq::test {

// The order in which the emulated device runs its threads; a real one has its own.
inline void SetScheduleSeed([[maybe_unused]] uint64_t seed) {
#ifdef SQ_CUDA_EMULATED
  shim::SetScheduleSeed(seed);
#endif
}

// Rows begin at multiples of 16 bytes; what lies between the end of a row and the next one is NaN.
class DeviceMatrix {
 public:
  DeviceMatrix(FloatType type, int64_t rows, int64_t cols)
      : type_(type),
        rows_(rows),
        cols_(cols),
        stride_((cols + 7) / 8 * 8 + 8),
        buffer_(rows * stride_ * Size(), "test matrix") {
    cuda::Check(cudaMemset(buffer_.data(), 0xff, static_cast<size_t>(buffer_.bytes())), "poison");
  }
  DeviceMatrix(FloatType type, MatrixView<const float> values)
      : DeviceMatrix(type, values.rows, values.cols) {
    std::vector<unsigned char> bytes(static_cast<size_t>(buffer_.bytes()), 0xff);
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < cols_; ++c) {
        const float value = values.Row(r)[c];
        unsigned char* at = bytes.data() + (r * stride_ + c) * Size();
        if (type == FloatType::kFloat32) {
          std::memcpy(at, &value, sizeof value);
        } else {
          const uint16_t half =
              type == FloatType::kFloat16 ? FloatToFp16(value) : FloatToBf16(value);
          std::memcpy(at, &half, sizeof half);
        }
      }
    }
    cuda::Check(cudaMemcpy(buffer_.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice),
                "fill");
  }

  CudaMatrix View() const { return {buffer_.data(), type_, rows_, cols_, stride_}; }

  // [rows][cols]
  std::vector<float> Values() const {
    const std::vector<unsigned char> bytes = buffer_.ToHost();
    std::vector<float> values;
    for (int64_t r = 0; r < rows_; ++r) {
      for (int64_t c = 0; c < cols_; ++c) values.push_back(ValueAt(bytes, r, c));
    }
    return values;
  }

  // Whether everything between the rows is still as it was.
  bool Untouched() const {
    const std::vector<unsigned char> bytes = buffer_.ToHost();
    for (int64_t r = 0; r < rows_; ++r) {
      const auto row = bytes.begin() + r * stride_ * Size();
      if (!std::all_of(row + cols_ * Size(), row + stride_ * Size(),
                       [](unsigned char byte) { return byte == 0xff; })) {
        return false;
      }
    }
    return true;
  }

 private:
  int64_t Size() const { return type_ == FloatType::kFloat32 ? 4 : 2; }
  float ValueAt(const std::vector<unsigned char>& bytes, int64_t row, int64_t col) const {
    const unsigned char* at = bytes.data() + (row * stride_ + col) * Size();
    float value;
    uint16_t half;
    if (type_ == FloatType::kFloat32) {
      std::memcpy(&value, at, sizeof value);
      return value;
    }
    std::memcpy(&half, at, sizeof half);
    return type_ == FloatType::kFloat16 ? Fp16ToFloat(half) : Bf16ToFloat(half);
  }

  FloatType type_;
  int64_t rows_, cols_, stride_;
  cuda::Buffer<unsigned char> buffer_;
};

}  // namespace sq::test
