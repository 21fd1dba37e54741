// The bits of a float as an integer, and back (std::bit_cast of C++20).
#pragma once

#include <cstdint>
#include <cstring>

namespace sq {

inline uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float FloatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace sq
