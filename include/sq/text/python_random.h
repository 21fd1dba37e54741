// The parts of Python's `random` module that data sampling uses: the published windows of C4 depend
// on CPython's generator.
#pragma once

#include <array>
#include <cstdint>

namespace sq {

// MT19937, seeded and read as in CPython 3.2 and later.
class PythonRandom {
 public:
  // random.seed(seed).
  explicit PythonRandom(uint64_t seed);

  // random.getrandbits(bits), 0 <= bits <= 64.
  uint64_t GetRandBits(int bits);

  // random.randint(low, high), both inclusive, low <= high.
  int64_t RandInt(int64_t low, int64_t high);

  // random.random(): 53 bits in [0, 1).
  double Random();

 private:
  static constexpr int kSize = 624;

  void Seed(uint32_t seed);  // init_genrand
  uint32_t Next();           // genrand_uint32

  std::array<uint32_t, kSize> state_;
  int index_ = kSize;
};

}  // namespace sq
