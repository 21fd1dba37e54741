// The functions of kernels/cuda/ptx.cuh for the host, after their description there.
#pragma once

#include <stdexcept>

#include "cuda_shim/cuda_fp16.h"
#include "cuda_shim/cuda_runtime.h"

namespace sq::cuda {

inline unsigned char* DynamicShared() { return shim::DynamicShared(); }

// As if the window began here: a result is no pointer on a device either.
constexpr uint32_t kSharedWindow = 1024;
inline uint32_t SharedAddress(const void* shared) {
  return kSharedWindow +
         static_cast<uint32_t>(static_cast<const unsigned char*>(shared) - shim::DynamicShared());
}
template <int offset>
uint32_t LoadShared(uint32_t address) {
  const size_t at = size_t{address} + offset - kSharedWindow;
  if (at % 4 != 0 || at + 4 > shim::DynamicSharedBytes()) {
    throw std::runtime_error("CUDA shim: a read outside shared memory, or unaligned");
  }
  uint32_t value;
  std::memcpy(&value, shim::DynamicShared() + at, sizeof value);
  return value;
}

inline void LoadSharedFour(uint32_t address, uint32_t* value) {
  if (address % 16 != 0) throw std::runtime_error("CUDA shim: an unaligned 128-bit read");
  for (uint32_t i = 0; i < 4; ++i) value[i] = LoadShared<0>(address + 4 * i);
}

inline uint2 LoadSharedTwo(uint32_t address) {
  if (address % 8 != 0) throw std::runtime_error("CUDA shim: an unaligned 64-bit read");
  return {LoadShared<0>(address), LoadShared<4>(address)};
}
inline uint32_t LoadSharedHalf(uint32_t address) {
  if (address % 2 != 0) throw std::runtime_error("CUDA shim: an unaligned 16-bit read");
  return LoadShared<0>(address - address % 4) >> (8 * (address % 4)) & 0xffff;
}

inline void Prefetch(const void* global) {
  // A fault where there is no memory.
  [[maybe_unused]] const char touched = *static_cast<const volatile char*>(global);
}

inline void CopyToShared(uint32_t address, const uint4* global) {
  shim::CopyLater(size_t{address} - kSharedWindow, global);
}
inline void CommitCopies() { shim::CommitCopies(); }
template <int groups>
void WaitForCopies() {
  shim::WaitForCopies(groups);
}
inline void WaitForAllCopies() {
  shim::CommitCopies();
  shim::WaitForCopies(0);
}

inline uint32_t Permute(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = static_cast<uint64_t>(b) << 32 | a;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t nibble = selector >> (4 * i) & 15;
    uint32_t byte = static_cast<uint32_t>(bytes >> (8 * (nibble & 7)) & 255);
    if ((nibble & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;
    result |= byte << (8 * i);
  }
  return result;
}

inline uint32_t DotBytes(uint32_t a, uint32_t b, uint32_t c) {
  for (int i = 0; i < 32; i += 8) c += (a >> i & 255) * (b >> i & 255);
  return c;
}

inline uint32_t Times(uint32_t value, uint32_t factor) { return value * factor; }

inline uint4 LoadOnce(const uint4* global) {
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0) {
    throw std::runtime_error("CUDA shim: an unaligned 128-bit load");
  }
  return *global;
}

inline uint4 LoadIf(bool wanted, const uint4* global) {
  return wanted ? LoadOnce(global) : uint4{0, 0, 0, 0};
}

inline float LoadFresh(const float* global) { return *global; }

// Words of A as MultiplyAdd takes them: half of them rows g + 8, every two of them 8 inner indices.
template <size_t kA>
void MultiplyAddWords(float (&d)[4], const uint32_t (&a)[kA], const uint32_t (&b)[kA / 2]) {
  struct Given {
    float a[kA][2], b[kA / 2][2];
  } given;
  const auto half_of = [](uint32_t word, int half) {
    return Fp16ToFloat(static_cast<uint16_t>(word >> (16 * half)));
  };
  for (int half = 0; half < 2; ++half) {
    for (size_t i = 0; i < kA; ++i) given.a[i][half] = half_of(a[i], half);
    for (size_t i = 0; i < kA / 2; ++i) given.b[i][half] = half_of(b[i], half);
  }
  const unsigned lane = shim::running.lane, group = lane / 4, quad = lane % 4;
  const unsigned char* slots = shim::WarpExchange(0xffffffffu, &given, sizeof given);
  const auto from = [&](unsigned other) {
    return reinterpret_cast<const Given*>(slots + other * shim::kMaxExchange);
  };
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = group + i / 2 * 8, column = 2 * quad + i % 2;
    for (unsigned k = 0; k < 4 * kA; ++k) {
      d[i] += from(row % 8 * 4 + k % 8 / 2)->a[row / 8 + k / 8 * 2][k % 2] *
              from(column * 4 + k % 8 / 2)->b[k / 8][k % 2];
    }
  }
}
inline void MultiplyAdd(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  MultiplyAddWords(d, a, b);
}
inline void MultiplyAdd(float (&d)[4], const uint32_t (&a)[2], uint32_t b) {
  MultiplyAddWords(d, a, {b});
}

inline void WaitForPrevious() { shim::WaitForPrevious(); }
inline void LetNextStart() { shim::LetNextStart(); }

}  // namespace sq::cuda
