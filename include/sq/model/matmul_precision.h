// In what precision LibTorch multiplies fp32 matrices.
#pragma once

#include <ATen/Context.h>

#include <string>

#include "sq/base/cpu.h"
#include "sq/base/error.h"
#include "sq/model/device.h"

namespace sq {

// Whether a --dtype asks for bfloat16 products: auto means where the device has units for them, as
// every CUDA device that we run on. Throws sq::Error for anything but auto, float32 and bfloat16.
inline bool WantsBfloat16(const std::string& dtype, const Device& device) {
  SQ_CHECK(dtype == "auto" || dtype == "float32" || dtype == "bfloat16",
           "dtype: expected auto, float32 or bfloat16, found ", dtype);
  return dtype == "bfloat16" || (dtype == "auto" && (device.cuda || Cpu().avx512_bf16));
}

// Whether fp32 matrix products round their operands to bfloat16 at present, attention's among them.
inline bool Bfloat16Products() {
  return at::globalContext().float32Precision(at::Float32Backend::MKLDNN, at::Float32Op::MATMUL) ==
         at::Float32Precision::BF16;
}

// While it lives, fp32 matrix products round their operands to bfloat16 and add in fp32. Several
// times faster where the processor has bfloat16 units (base/cpu.h), slower elsewhere. Process-wide;
// does nothing when `bfloat16` is false. On a device it speaks for attention alone, and weights are
// loaded as bfloat16.
class MatmulPrecision {
 public:
  explicit MatmulPrecision(bool bfloat16) : set_(bfloat16 && !Bfloat16Products()) {
    if (set_) Set(at::Float32Precision::BF16);
  }
  ~MatmulPrecision() {
    if (set_) Set(at::Float32Precision::IEEE);
  }
  MatmulPrecision(const MatmulPrecision&) = delete;
  MatmulPrecision& operator=(const MatmulPrecision&) = delete;

 private:
  static void Set(at::Float32Precision precision) {
    at::globalContext().setFloat32Precision(at::Float32Backend::MKLDNN, at::Float32Op::MATMUL,
                                            precision);
  }

  bool set_;  // by this one, not by one around it
};

}  // namespace sq
