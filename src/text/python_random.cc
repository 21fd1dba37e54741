#include "sq/text/python_random.h"

#include <algorithm>

#include "sq/base/error.h"

namespace sq {

// Matsumoto and Nishimura, "Mersenne Twister" (ACM TOMACS 8(1), 1998), with the seeding by array of
// their 2002 code, which CPython calls with the 32-bit digits of the seed, lowest first.
PythonRandom::PythonRandom(uint64_t seed) {
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed),
                                       static_cast<uint32_t>(seed >> 32)};
  const int key_size = key[1] != 0 ? 2 : 1;
  Seed(19650218);
  int i = 1, j = 0;
  for (int k = std::max(kSize, key_size); k > 0; --k) {
    const uint32_t before = state_[i - 1];
    state_[i] = (state_[i] ^ ((before ^ (before >> 30)) * 1664525u)) + key[j] + j;
    if (++i == kSize) {
      state_[0] = state_[kSize - 1];
      i = 1;
    }
    if (++j == key_size) j = 0;
  }
  for (int k = kSize - 1; k > 0; --k) {
    const uint32_t before = state_[i - 1];
    state_[i] = (state_[i] ^ ((before ^ (before >> 30)) * 1566083941u)) - i;
    if (++i == kSize) {
      state_[0] = state_[kSize - 1];
      i = 1;
    }
  }
  state_[0] = 0x80000000u;
}

void PythonRandom::Seed(uint32_t seed) {
  state_[0] = seed;
  for (int i = 1; i < kSize; ++i) {
    state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
  }
}

uint32_t PythonRandom::Next() {
  constexpr int kShift = 397;
  if (index_ == kSize) {
    for (int i = 0; i < kSize; ++i) {
      const uint32_t y = (state_[i] & 0x80000000u) | (state_[(i + 1) % kSize] & 0x7fffffffu);
      state_[i] = state_[(i + kShift) % kSize] ^ (y >> 1) ^ ((y & 1u) != 0 ? 0x9908b0dfu : 0u);
    }
    index_ = 0;
  }
  uint32_t y = state_[index_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

uint64_t PythonRandom::GetRandBits(int bits) {
  SQ_DCHECK(bits >= 0 && bits <= 64);
  if (bits == 0) return 0;
  if (bits <= 32) return Next() >> (32 - bits);
  const uint64_t low = Next();
  return static_cast<uint64_t>(Next() >> (64 - bits)) << 32 | low;
}

int64_t PythonRandom::RandInt(int64_t low, int64_t high) {
  SQ_DCHECK(low <= high);
  const uint64_t count = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
  if (count == 0) return static_cast<int64_t>(GetRandBits(64));  // the whole range of int64
  int bits = 0;
  while (bits < 64 && count >> bits != 0) ++bits;
  uint64_t value;
  do {
    value = GetRandBits(bits);
  } while (value >= count);
  return static_cast<int64_t>(static_cast<uint64_t>(low) + value);
}

double PythonRandom::Random() {
  const uint32_t high = Next() >> 5;
  const uint32_t low = Next() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

}  // namespace sq
