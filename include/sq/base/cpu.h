// Instruction-set extensions of the processor, detected once at run time.
#pragma once

#include <string>

namespace sq {

struct CpuFeatures {
  bool avx2 = false;         // with FMA and F16C
  bool avx512 = false;       // F, BW, DQ, VL
  bool avx512_bf16 = false;  // bfloat16 dot products
  bool amx_bf16 = false;     // bfloat16 tiles
};

const CpuFeatures& Cpu();

// The widest supported extension and its additions, for display: "AVX-512 BF16 AMX".
std::string CpuText();

}  // namespace sq
