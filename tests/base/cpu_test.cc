#include "sq/base/cpu.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>

namespace sq {
namespace {

// The flags that the system itself lists; empty where it has no such list.
std::set<std::string> SystemFlags() {
  std::ifstream file("/proc/cpuinfo");
  std::string word;
  while (file >> word && word != "flags") {
  }
  std::set<std::string> flags;
  file >> word;  // the colon
  for (char next = ' '; file.get(next) && next != '\n';) {
    if (next == ' ') continue;
    file.unget();
    file >> word;
    flags.insert(word);
  }
  return flags;
}

TEST(Cpu, FindsWhatTheSystemLists) {
  const std::set<std::string> flags = SystemFlags();
  if (flags.count("sse2") == 0) GTEST_SKIP() << "/proc/cpuinfo lists no x86 flags";
  const auto has = [&](const char* flag) { return flags.count(flag) == 1; };
  EXPECT_EQ(Cpu().avx2, has("avx2") && has("fma") && has("f16c"));
  EXPECT_EQ(Cpu().avx512, has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl"));
  // Emulators and hypervisors may hide these two from the list but not from the processor's answer.
  EXPECT_GE(Cpu().avx512_bf16, has("avx512_bf16"));
  EXPECT_GE(Cpu().amx_bf16, has("amx_bf16") && has("avx512_bf16"));
}

TEST(Cpu, EachExtensionImpliesTheOneBefore) {
  EXPECT_GE(Cpu().avx512_bf16, Cpu().amx_bf16);
  EXPECT_GE(Cpu().avx512, Cpu().avx512_bf16);
  EXPECT_GE(Cpu().avx2, Cpu().avx512);
}

TEST(Cpu, TextNamesTheWidestAndItsExtras) {
  const std::string widest = Cpu().avx512 ? "AVX-512" : Cpu().avx2 ? "AVX2" : "scalar";
  EXPECT_EQ(CpuText(),
            widest + (Cpu().avx512_bf16 ? " BF16" : "") + (Cpu().amx_bf16 ? " AMX" : ""));
}

}  // namespace
}  // namespace sq
