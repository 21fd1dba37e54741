// What translate.py's C++ is made of: registers, which are unsigned words of their width, as values
// of the types that instructions take them for, and instructions that C++ has no operator for.
#pragma once

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <type_traits>

#include "cuda_shim/cuda_runtime.h"
#include "cuda_shim/ptx.h"
#include "sq/base/half.h"

namespace sq::ptx {

template <typename To, typename From>
To Bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// A register's value; an integer may be of fewer bits.
template <typename T, typename Register>
T As(Register value) {
  if constexpr (std::is_floating_point_v<T>) {
    return Bits<T>(value);
  } else {
    static_assert(sizeof(T) <= sizeof(Register));
    return static_cast<T>(value);
  }
}
template <typename Register, typename T>
void Set(Register& to, T value) {
  static_assert(sizeof(T) == sizeof(Register));
  to = Bits<Register>(value);
}
// The same where the register may be wider: a number's sign goes on.
template <typename Register, typename T>
void Widen(Register& to, T value) {
  if constexpr (std::is_floating_point_v<T>) {
    Set(to, value);
  } else {
    to = static_cast<Register>(
        static_cast<std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>(value));
  }
}

// Memory.
inline unsigned char* Aligned(unsigned char* at, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(at) % bytes != 0)
    throw std::runtime_error("PTX: an address that is not aligned");
  return at;
}
template <typename T>
T Load(const unsigned char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}
template <typename T>
void Store(unsigned char* at, T value) {
  std::memcpy(at, &value, sizeof value);
}
// An address of the shared window: of static shared memory, `bytes` from `first` on, or of dynamic.
inline unsigned char* InShared(uint64_t at, uint64_t first, unsigned char* memory, size_t bytes) {
  if (at >= first && at - first < bytes) return memory + (at - first);
  if (at < cuda::kSharedWindow || at - cuda::kSharedWindow >= shim::DynamicSharedBytes())
    throw std::runtime_error("PTX: an address outside shared memory");
  return shim::DynamicShared() + (at - cuda::kSharedWindow);
}
inline uint32_t AddressOf(const unsigned char* dynamic_shared) {
  return cuda::SharedAddress(dynamic_shared);
}

// Of numbers, one that is none loses.
template <typename T>
T Least(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return std::fmin(a, b);
  return std::min(a, b);
}
template <typename T>
T Greatest(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return std::fmax(a, b);
  return std::max(a, b);
}
inline float Saturate(float x) { return x != x ? 0 : std::clamp(x, 0.0f, 1.0f); }
inline float FmaDown(float a, float b, float c) {
  const int mode = std::fegetround();
  std::fesetround(FE_DOWNWARD);
  const volatile float x = a, y = b, z = c;  // not before the mode is set
  const volatile float result = std::fma(x, y, z);
  std::fesetround(mode);
  return result;
}

// Shifts by the register's width or more leave nothing, or signs.
template <typename T>
T ShiftLeft(T value, uint32_t by) {
  using Word = std::make_unsigned_t<T>;
  return by >= 8 * sizeof(T) ? T{0} : static_cast<T>(static_cast<Word>(value) << by);
}
template <typename T>
T ShiftRight(T value, uint32_t by) {
  if (by >= 8 * sizeof(T)) return value < 0 ? static_cast<T>(-1) : T{0};
  return static_cast<T>(value >> by);
}
// The lower `count` bits of `from` at `first` in `to`.
template <typename T>
T InsertBits(T from, T to, uint32_t first, uint32_t count) {
  const T mask = ShiftLeft<T>(ShiftLeft<T>(1, count & 255) - 1, first & 255);
  return (to & ~mask) | (ShiftLeft<T>(from, first & 255) & mask);
}
template <typename T>
T Reverse(T value) {
  T reversed = 0;
  for (size_t i = 0; i < 8 * sizeof(T); ++i)
    reversed |= (value >> i & 1) << (8 * sizeof(T) - 1 - i);
  return reversed;
}
template <typename T>
uint32_t CountOnes(T value) {
  return static_cast<uint32_t>(__builtin_popcountll(value));
}
inline uint32_t CountZerosAbove(uint32_t value) {
  return value == 0 ? ~0u : static_cast<uint32_t>(__builtin_clz(value));
}

// shfl.sync; bounds: the lanes of a segment, and how far in one others may be.
enum class Way { kUp, kDown, kBfly, kIdx };
template <Way way>
uint32_t Shuffle(uint32_t mask, uint32_t value, uint32_t by, uint32_t bounds, bool* inside) {
  const uint32_t lane = shim::running.lane, segment = bounds >> 8 & 31, clamp = bounds & 31;
  const uint32_t least = lane & segment, bound = least | (clamp & ~segment);
  by &= 31;
  int from = 0;
  if (way == Way::kUp) from = static_cast<int>(lane) - static_cast<int>(by);
  if (way == Way::kDown) from = static_cast<int>(lane + by);
  if (way == Way::kBfly) from = static_cast<int>(lane ^ by);
  if (way == Way::kIdx) from = static_cast<int>(least | (by & ~segment));
  *inside = way == Way::kUp ? from >= static_cast<int>(bound) : from <= static_cast<int>(bound);
  return __shfl_sync(mask, value, *inside ? from : static_cast<int>(lane));
}

}  // namespace sq::ptx
