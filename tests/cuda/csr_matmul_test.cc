#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "sq/kernels/cuda_csr.h"
#include "tests/support/cuda_memory.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

using test::DeviceMatrix;

// Rows of 0, 1, a few, many and all entries; whole numbers, so that sums are exact.
Csr MakeCsr(int64_t out, int64_t in) {
  std::mt19937 random(3);
  Csr csr;
  csr.row_ptr.push_back(0);
  const int64_t counts[] = {0, 1, 7, in / 3, in};
  for (int64_t row = 0; row < out; ++row) {
    const int64_t count = counts[row % 5];
    for (int64_t i = 0; i < count; ++i) {
      csr.cols.push_back(static_cast<int32_t>((i * in) / count));
      csr.vals.push_back(static_cast<float>(static_cast<int>(random() % 9)) - 4);
    }
    csr.row_ptr.push_back(static_cast<int32_t>(csr.vals.size()));
  }
  return csr;
}

TEST(CudaCsr, AddsExactSums) {
  for (const int64_t out : {1, 5, 33, 70}) {
    for (const int64_t in : {32, 2048, 3000}) {
      const Csr csr = MakeCsr(out, in);
      ValidateCsr(csr, out, in, "test");
      const CudaCsr on_device(csr, out, in);
      const CudaContext context(nullptr);
      for (const int64_t tokens : {1, 3, 4, 9}) {
        std::vector<float> x, y;
        for (int64_t i = 0; i < tokens * in; ++i) x.push_back(static_cast<float>(i * 7 % 11) - 5);
        for (int64_t i = 0; i < tokens * out; ++i) y.push_back(static_cast<float>(i % 5));
        for (const FloatType type : {FloatType::kFloat16, FloatType::kFloat32}) {
          const DeviceMatrix given(type, {x.data(), tokens, in});
          const DeviceMatrix result(FloatType::kFloat32, {y.data(), tokens, out});
          CudaCsrMatmul(context, on_device, given.View(), result.View());
          const std::vector<float> found = result.Values();
          for (int64_t t = 0; t < tokens; ++t) {
            for (int64_t o = 0; o < out; ++o) {
              double expected = y[t * out + o];
              for (int32_t e = csr.row_ptr[o]; e < csr.row_ptr[o + 1]; ++e) {
                expected += double{csr.vals[e]} * x[t * in + csr.cols[e]];
              }
              ASSERT_EQ(found[t * out + o], expected)
                  << out << "x" << in << ", token " << t << ", row " << o;
            }
          }
          EXPECT_TRUE(result.Untouched());
        }
      }
    }
  }
}

TEST(CudaCsr, WithoutEntriesLeavesYAlone) {
  const CudaCsr none(CsrView(), 3, 32);
  const CudaContext context(nullptr);
  const DeviceMatrix x(FloatType::kFloat32, 2, 32), y(FloatType::kFloat32, 2, 3);
  CudaCsrMatmul(context, none, x.View(), y.View());
  for (const float value : y.Values()) EXPECT_TRUE(std::isnan(value));
}

TEST(CudaCsr, ChecksSizes) {
  const Csr csr = MakeCsr(5, 64);
  const CudaCsr on_device(csr, 5, 64);
  const CudaContext context(nullptr);
  const DeviceMatrix x(FloatType::kFloat32, 2, 32), y(FloatType::kFloat32, 2, 5);
  EXPECT_EQ(test::MessageOf([&] { CudaCsrMatmul(context, on_device, x.View(), y.View()); }),
            "sparse matrix of [5, 64]: x is [2, 32], y is [2, 5]");
}

}  // namespace
}  // namespace sq
