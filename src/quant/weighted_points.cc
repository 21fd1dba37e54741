#include "sq/quant/weighted_points.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "sq/base/error.h"
#include "sq/base/float_bits.h"
#include "sq/base/integer_math.h"

namespace sq {
namespace {

// 2048 counters of four bytes fit into the L1 cache together with the words. With 11 bits per
// digit, 32-bit keys take three passes and those of fp16 weights (at most 19 bits differ) two.
constexpr int kMaxDigitBits = 11;

// A weight's key, an unsigned integer in the order of the floats, in the upper half, and its
// sensitivity in the lower half. For negative weights the magnitude is negated rather than
// inverted, so that low bits that are 0 in weights from a shorter format are 0 in all keys, and -0
// and +0 have the same key.
uint64_t WordOf(float weight, float sensitivity) {
  const uint32_t bits = BitsOf(weight);
  const uint32_t magnitude = bits & 0x7fffffffu, sign = bits >> 31;
  const uint32_t key = 0x80000000u + ((magnitude ^ (0u - sign)) + sign);
  return static_cast<uint64_t>(key) << 32 | BitsOf(sensitivity);
}

float WeightOf(uint64_t word) {
  const uint32_t key = static_cast<uint32_t>(word >> 32);
  return FloatOf(key >= 0x80000000u ? key - 0x80000000u : 0x80000000u | (0x80000000u - key));
}

float SensitivityOf(uint64_t word) { return FloatOf(static_cast<uint32_t>(word)); }

int BitWidth(uint32_t value) {
  int width = 0;
  for (; value != 0; value >>= 1) ++width;
  return width;
}

// Stable sort by the upper half of the words.
void RadixSort(std::vector<uint64_t>* words, std::vector<uint64_t>* spare) {
  uint32_t min = 0xffffffffu, max = 0, differ = 0;
  const uint32_t first = static_cast<uint32_t>((*words)[0] >> 32);
  for (const uint64_t word : *words) {
    const uint32_t key = static_cast<uint32_t>(word >> 32);
    min = std::min(min, key);
    max = std::max(max, key);
    differ |= key ^ first;
  }
  if (differ == 0) return;
  int low_bit = 0;  // all keys agree in the bits below: 13 bits for fp16 weights, 16 for bf16
  while (((differ >> low_bit) & 1u) == 0) ++low_bit;
  // All keys agree below low_bit, so that the subtraction has no borrow from there.
  const int bits = BitWidth((max - min) >> low_bit);
  const int passes = static_cast<int>(CeilDivide(bits, kMaxDigitBits));
  const int digit_bits = static_cast<int>(CeilDivide(bits, passes));
  const uint32_t mask = (1u << digit_bits) - 1;
  spare->resize(words->size());
  std::array<uint32_t, 1 << kMaxDigitBits> begin;
  for (int pass = 0; pass < passes; ++pass) {
    const int shift = low_bit + pass * digit_bits;
    const auto digit = [=](uint64_t word) {
      return ((static_cast<uint32_t>(word >> 32) - min) >> shift) & mask;
    };
    std::fill_n(begin.begin(), mask + 1, 0u);
    for (const uint64_t word : *words) ++begin[digit(word)];
    uint32_t sum = 0;
    for (uint32_t d = 0; d <= mask; ++d) {
      const uint32_t count = begin[d];
      begin[d] = sum;
      sum += count;
    }
    uint64_t* const to = spare->data();
    for (const uint64_t word : *words) to[begin[digit(word)]++] = word;
    words->swap(*spare);
  }
}

// Merges runs of equal weights into one point each.
void Merge(WeightedPoints* points) {
  const size_t n = points->words.size();
  points->value.resize(n);
  points->mass.resize(n);
  double* const value = points->value.data();
  double* const mass = points->mass.data();
  const uint64_t* const words = points->words.data();
  size_t at = 0;
  value[0] = WeightOf(words[0]);
  mass[0] = SensitivityOf(words[0]);
  for (size_t i = 1; i < n; ++i) {
    if (words[i] >> 32 == words[i - 1] >> 32) {
      mass[at] += SensitivityOf(words[i]);
    } else {
      ++at;
      value[at] = WeightOf(words[i]);
      mass[at] = SensitivityOf(words[i]);
    }
  }
  points->value.resize(at + 1);
  points->mass.resize(at + 1);
}

void SumUp(WeightedPoints* points) {
  const int64_t count = points->Count();
  points->mass_to.resize(count + 1);
  points->moment_to.resize(count + 1);
  double* const value = points->value.data();
  double* const mass = points->mass.data();
  double* const mass_to = points->mass_to.data();
  double* const moment_to = points->moment_to.data();
  double total = 0, weighted = 0;
  for (int64_t i = 0; i < count; ++i) {
    total += mass[i];
    weighted += mass[i] * value[i];
  }
  points->mean = weighted / total;
  mass_to[0] = moment_to[0] = 0;
  int64_t kept = 0;
  double moment = 0, second_moment = 0, sum = 0;
  double pending = 0;  // mass of points too light to change the sum
  for (int64_t i = 0; i < count; ++i) {
    const double distance = value[i] - points->mean;
    const double weighted_distance = mass[i] * distance;
    moment += weighted_distance;
    second_moment += weighted_distance * distance;
    const double own = mass[i] + pending;
    if (sum + own == sum) {
      pending = own;
      continue;
    }
    sum += own;
    pending = 0;
    value[kept] = value[i];
    mass[kept] = own;
    ++kept;
    mass_to[kept] = sum;
    moment_to[kept] = moment;
  }
  moment_to[kept] = moment;  // light points at the end are merged into the last point
  points->second_moment = second_moment;
  points->value.resize(kept);
  points->mass.resize(kept);
  points->mass_to.resize(kept + 1);
  points->moment_to.resize(kept + 1);
}

}  // namespace

void BuildWeightedPoints(const float* weights, const float* sensitivity, int64_t n,
                         WeightedPoints* points) {
  SQ_DCHECK(n >= 1);
  points->words.resize(n);
  uint64_t* const words = points->words.data();
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    words[count] = WordOf(weights[i], sensitivity[i]);
    count += sensitivity[i] > 0;
  }
  if (count == 0) {
    for (; count < n; ++count) words[count] = WordOf(weights[count], 1.0f);
  }
  points->words.resize(count);
  RadixSort(&points->words, &points->spare_words);
  Merge(points);
  SumUp(points);
}

}  // namespace sq
