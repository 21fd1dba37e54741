#include "sq/quant/weighted_points.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "sq/base/error.h"

#pragma STDC FP_CONTRACT OFF  // the same bytes with and without fused multiply-add

namespace sq {
namespace {

// 2048 counters of four bytes fit the first-level cache beside the words; with 11 bits a digit,
// 32-bit keys take three passes and those of fp16 weights (19 bits that differ at most) two.
constexpr int kMaxDigitBits = 11;

// Unsigned keys in the order of the floats.
uint32_t KeyOf(float weight) {
  weight += 0.0f;  // -0 becomes +0
  uint32_t bits;
  std::memcpy(&bits, &weight, sizeof bits);
  return bits ^ ((bits >> 31) != 0 ? 0xffffffffu : 0x80000000u);
}

float WeightOf(uint32_t key) {
  const uint32_t bits = key ^ ((key >> 31) != 0 ? 0x80000000u : 0xffffffffu);
  float weight;
  std::memcpy(&weight, &bits, sizeof weight);
  return weight;
}

int BitWidth(uint32_t value) {
  int width = 0;
  for (; value != 0; value >>= 1) ++width;
  return width;
}

// Sorts words by their upper half, equal ones by their lower half (they come in in that order).
void RadixSort(std::vector<uint64_t>& words, std::vector<uint64_t>& spare) {
  uint32_t least = 0xffffffffu, most = 0, differ = 0;
  const uint32_t first = static_cast<uint32_t>(words[0] >> 32);
  for (const uint64_t word : words) {
    const uint32_t key = static_cast<uint32_t>(word >> 32);
    least = std::min(least, key);
    most = std::max(most, key);
    differ |= key ^ first;
  }
  if (differ == 0) return;
  int low_bit = 0;  // below it all keys agree: 13 bits for fp16 weights, 16 for bf16
  while (((differ >> low_bit) & 1u) == 0) ++low_bit;
  // All keys agree below low_bit, so the subtraction borrows nothing from there.
  const int bits = BitWidth((most - least) >> low_bit);
  const int passes = (bits + kMaxDigitBits - 1) / kMaxDigitBits;
  const int digit_bits = (bits + passes - 1) / passes;
  const uint32_t mask = (1u << digit_bits) - 1;
  spare.resize(words.size());
  std::array<uint32_t, 1 << kMaxDigitBits> begin;
  for (int pass = 0; pass < passes; ++pass) {
    const int shift = low_bit + pass * digit_bits;
    const auto digit = [&](uint64_t word) {
      return ((static_cast<uint32_t>(word >> 32) - least) >> shift) & mask;
    };
    std::fill_n(begin.begin(), mask + 1, 0u);
    for (const uint64_t word : words) ++begin[digit(word)];
    uint32_t sum = 0;
    for (uint32_t d = 0; d <= mask; ++d) {
      const uint32_t count = begin[d];
      begin[d] = sum;
      sum += count;
    }
    for (const uint64_t word : words) spare[begin[digit(word)]++] = word;
    words.swap(spare);
  }
}

// Runs of equal weights become one point.
void Merge(const float* sensitivity, bool uniform, WeightedPoints& points) {
  const std::vector<uint64_t>& words = points.words;
  const size_t n = words.size();
  points.value.resize(n);
  points.mass.resize(n);
  size_t count = 0;
  uint64_t last = ~uint64_t{0};  // equal to no key: those have 32 bits
  for (const uint64_t word : words) {
    const double mass = uniform ? 1.0 : sensitivity[word & 0xffffffffu];
    if (word >> 32 == last) {
      points.mass[count - 1] += mass;
      continue;
    }
    last = word >> 32;
    points.value[count] = WeightOf(static_cast<uint32_t>(last));
    points.mass[count] = mass;
    ++count;
  }
  points.value.resize(count);
  points.mass.resize(count);
}

void SumUp(WeightedPoints& points) {
  const int64_t count = points.Count();
  double mass = 0, weighted = 0;
  for (int64_t i = 0; i < count; ++i) {
    mass += points.mass[i];
    weighted += points.mass[i] * points.value[i];
  }
  points.mean = weighted / mass;
  points.second_moment = 0;
  points.mass_to.resize(count + 1);
  points.moment_to.resize(count + 1);
  points.mass_to[0] = points.moment_to[0] = 0;
  int64_t kept = 0;
  double moment = 0;
  double light_mass = 0;  // of points that waited for a neighbour
  for (int64_t i = 0; i < count; ++i) {
    const double distance = points.value[i] - points.mean;
    const double weighted_distance = points.mass[i] * distance;
    moment += weighted_distance;
    points.second_moment += weighted_distance * distance;
    light_mass += points.mass[i];
    const double mass_to = points.mass_to[kept] + light_mass;
    if (mass_to == points.mass_to[kept]) continue;
    points.value[kept] = points.value[i];
    points.mass[kept] = light_mass;
    light_mass = 0;
    ++kept;
    points.mass_to[kept] = mass_to;
    points.moment_to[kept] = moment;
  }
  points.moment_to[kept] = moment;  // light points at the end join the last one
  points.value.resize(kept);
  points.mass.resize(kept);
  points.mass_to.resize(kept + 1);
  points.moment_to.resize(kept + 1);
}

}  // namespace

void BuildWeightedPoints(const float* weights, const float* sensitivity, int64_t n,
                         WeightedPoints& points) {
  SQ_DCHECK(n >= 1 && n < int64_t{0xffffffff});
  points.words.resize(n);
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {
    points.words[count] = static_cast<uint64_t>(KeyOf(weights[i])) << 32 | static_cast<uint64_t>(i);
    count += sensitivity[i] > 0;
  }
  const bool uniform = count == 0;
  if (uniform) {
    for (; count < n; ++count) {
      points.words[count] =
          static_cast<uint64_t>(KeyOf(weights[count])) << 32 | static_cast<uint64_t>(count);
    }
  }
  points.words.resize(count);
  RadixSort(points.words, points.spare_words);
  Merge(sensitivity, uniform, points);
  SumUp(points);
}

}  // namespace sq
