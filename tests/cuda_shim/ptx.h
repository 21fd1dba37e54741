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

inline void LoadSharedIf(bool wanted, uint32_t address, uint32_t (&value)[4]) {
  if (!wanted) return;
  if (address % 16 != 0) throw std::runtime_error("CUDA shim: an unaligned 128-bit read");
  value[0] = LoadShared<0>(address);
  value[1] = LoadShared<4>(address);
  value[2] = LoadShared<8>(address);
  value[3] = LoadShared<12>(address);
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

inline void Trap() { throw std::runtime_error("CUDA shim: a trap"); }

inline uint4 LoadOnce(const uint4* global) {
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0) {
    throw std::runtime_error("CUDA shim: an unaligned 128-bit load");
  }
  return *global;
}

inline float LoadFresh(const float* global) { return *global; }

inline void MultiplyAdd(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Given {
    float a[4][2], b[2][2];
  } given;
  const auto half_of = [](uint32_t word, int half) {
    return Fp16ToFloat(static_cast<uint16_t>(word >> (16 * half)));
  };
  for (int half = 0; half < 2; ++half) {
    for (int i = 0; i < 4; ++i) given.a[i][half] = half_of(a[i], half);
    for (int i = 0; i < 2; ++i) given.b[i][half] = half_of(b[i], half);
  }
  const unsigned lane = shim::running.lane, group = lane / 4, quad = lane % 4;
  const unsigned char* slots = shim::WarpExchange(0xffffffffu, &given, sizeof given);
  const auto from = [&](unsigned other) {
    return reinterpret_cast<const Given*>(slots + other * shim::kMaxExchange);
  };
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = group + i / 2 * 8, column = 2 * quad + i % 2;
    for (unsigned k = 0; k < 16; ++k) {
      d[i] += from(row % 8 * 4 + k % 8 / 2)->a[row / 8 + k / 8 * 2][k % 2] *
              from(column * 4 + k % 8 / 2)->b[k / 8][k % 2];
    }
  }
}

inline void WaitForPrevious() {}
inline void LetNextStart() {}

}  // namespace sq::cuda
