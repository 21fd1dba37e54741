// In what precision LibTorch multiplies fp32 matrices.
#pragma once

#include <ATen/Context.h>

#include <string>

#include "sq/base/cpu.h"
#include "sq/base/error.h"

namespace sq {

// Whether a --dtype asks for bfloat16 products: auto means where the processor has units for them.
// Throws sq::Error for anything but auto, float32 and bfloat16.
inline bool WantsBfloat16(const std::string& dtype) {
  SQ_CHECK(dtype == "auto" || dtype == "float32" || dtype == "bfloat16",
           "dtype: expected auto, float32 or bfloat16, found ", dtype);
  return dtype == "bfloat16" || (dtype == "auto" && Cpu().avx512_bf16);
}

// Whether fp32 matrix products round their operands to bfloat16 at present.
inline bool Bfloat16Products() {
  return at::globalContext().float32Precision(at::Float32Backend::MKLDNN, at::Float32Op::MATMUL) ==
         at::Float32Precision::BF16;
}

// While it lives, fp32 matrix products round their operands to bfloat16 and add in fp32. Several
// times faster where the processor has bfloat16 units (base/cpu.h), slower elsewhere. Process-wide;
// does nothing when `bfloat16` is false.
class MatmulPrecision {
 public:
  explicit MatmulPrecision(bool bfloat16) {
    if (bfloat16) Set(at::Float32Precision::BF16);
  }
  ~MatmulPrecision() { Set(at::Float32Precision::IEEE); }
  MatmulPrecision(const MatmulPrecision&) = delete;
  MatmulPrecision& operator=(const MatmulPrecision&) = delete;

 private:
  static void Set(at::Float32Precision precision) {
    at::globalContext().setFloat32Precision(at::Float32Backend::MKLDNN, at::Float32Op::MATMUL,
                                            precision);
  }
};

}  // namespace sq
