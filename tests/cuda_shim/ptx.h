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

template <int table>
uint32_t Logic3(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t result = 0;
  for (int i = 0; i < 32; ++i) {
    const uint32_t entry = (a >> i & 1) * 4 + (b >> i & 1) * 2 + (c >> i & 1);
    result |= (static_cast<uint32_t>(table) >> entry & 1) << i;
  }
  return result;
}

inline uint4 LoadOnce(const uint4* global) {
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0) {
    throw std::runtime_error("CUDA shim: an unaligned 128-bit load");
  }
  return *global;
}

inline void MultiplyAdd(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  struct Given {
    uint32_t a[4], b[2];
  } given;
  std::memcpy(given.a, a, sizeof given.a);
  std::memcpy(given.b, b, sizeof given.b);
  const unsigned lane = shim::running.lane, group = lane / 4, quad = lane % 4;
  const unsigned char* slots = shim::WarpExchange(0xffffffffu, &given, sizeof given);
  const auto half_of = [](uint32_t word, unsigned k) {
    return Fp16ToFloat(static_cast<uint16_t>(word >> (16 * (k % 2))));
  };
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = group + i / 2 * 8, column = 2 * quad + i % 2;
    for (unsigned k = 0; k < 16; ++k) {
      const auto left = shim::FromLane<Given>(slots, row % 8 * 4 + k % 8 / 2);
      const auto right = shim::FromLane<Given>(slots, column * 4 + k % 8 / 2);
      d[i] += half_of(left.a[row / 8 + k / 8 * 2], k) * half_of(right.b[k / 8], k);
    }
  }
}

inline void WaitForPrevious() {}
inline void LetNextStart() {}

}  // namespace sq::cuda
