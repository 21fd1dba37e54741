// In what precision LibTorch multiplies fp32 matrices.
#pragma once

#include <ATen/Context.h>

namespace sq {

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
