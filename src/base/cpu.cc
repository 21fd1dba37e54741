#include "sq/base/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace sq {
namespace {

CpuFeatures Detect() {
  CpuFeatures features;
#if defined(__x86_64__)
  // These also check that the operating system saves the wide registers.
  __builtin_cpu_init();
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && ((c >> 29) & 1u);
  features.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && f16c;
  features.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) {
    features.avx512_bf16 = features.avx512 && ((a >> 5) & 1u);
  }
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    features.amx_bf16 = features.avx512_bf16 && ((d >> 22) & 1u);
  }
#endif
  return features;
}

}  // namespace

const CpuFeatures& Cpu() {
  static const CpuFeatures features = Detect();
  return features;
}

std::string CpuText() {
  const CpuFeatures& cpu = Cpu();
  std::string text = cpu.avx512 ? "AVX-512" : cpu.avx2 ? "AVX2" : "scalar";
  if (cpu.avx512_bf16) text += " BF16";
  if (cpu.amx_bf16) text += " AMX";
  return text;
}

}  // namespace sq
