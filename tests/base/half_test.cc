#include "sq/base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "sq/base/float_bits.h"

namespace sq {
namespace {

// fp16 by its definition, in double.
double Fp16Value(uint16_t bits) {
  const int exponent = (bits >> 10) & 31, mantissa = bits & 1023;
  const double sign = (bits & 0x8000) ? -1 : 1;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Half, EveryFp16ValueIsReadExactlyAndWrittenBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const double expected = Fp16Value(static_cast<uint16_t>(bits));
    const float got = Fp16ToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(got)) << bits;
      EXPECT_TRUE(std::isnan(Fp16ToFloat(FloatToFp16(got)))) << bits;
      continue;
    }
    ASSERT_EQ(static_cast<double>(got), expected) << bits;
    ASSERT_EQ(std::signbit(got), std::signbit(expected)) << bits;
    ASSERT_EQ(FloatToFp16(got), bits);
  }
}

TEST(Half, ManyAtOnceAreReadAsOneByOne) {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  for (const int64_t count : {0, 1, 7, 8, 9, 31, 65536}) {
    std::vector<float> out(static_cast<size_t>(count) + 1, 5.0f);
    Fp16ToFloat(bits.data(), out.data(), count);
    for (int64_t i = 0; i < count; ++i) {
      const float expected = Fp16ToFloat(bits[i]);
      ASSERT_TRUE(out[i] == expected || (std::isnan(out[i]) && std::isnan(expected))) << i;
    }
    EXPECT_EQ(out.back(), 5.0f);
  }
}

TEST(Half, Fp16RoundsToNearestEven) {
  for (uint32_t low = 0; low < 0x7bff; ++low) {
    const double a = Fp16Value(static_cast<uint16_t>(low));
    const double b = Fp16Value(static_cast<uint16_t>(low + 1));
    const float middle = static_cast<float>((a + b) / 2);  // exact: one more bit than fp16 has
    const uint16_t even = static_cast<uint16_t>(low % 2 == 0 ? low : low + 1);
    ASSERT_EQ(FloatToFp16(middle), even) << low;
    ASSERT_EQ(FloatToFp16(std::nextafter(middle, 0.0f)), low) << low;
    ASSERT_EQ(FloatToFp16(std::nextafter(middle, 1e9f)), low + 1) << low;
    ASSERT_EQ(FloatToFp16(-middle), even | 0x8000u) << low;
  }
  EXPECT_EQ(FloatToFp16(65519.0f), 0x7bff);
  EXPECT_EQ(FloatToFp16(65520.0f), 0x7c00);
  EXPECT_EQ(FloatToFp16(1e30f), 0x7c00);
  EXPECT_EQ(FloatToFp16(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(FloatToFp16(1e-30f), 0);
}

TEST(Half, Bf16RoundsToNearestEven) {
  for (uint32_t high = 0; high < 0x7f80; ++high) {
    const uint32_t middle = (high << 16) | 0x8000u;
    float value;
    std::memcpy(&value, &middle, sizeof value);
    ASSERT_EQ(FloatToBf16(value), high % 2 == 0 ? high : high + 1);
    ASSERT_EQ(BitsOf(Bf16ToFloat(static_cast<uint16_t>(high))), high << 16);
    ASSERT_EQ(FloatToBf16(Bf16ToFloat(static_cast<uint16_t>(high))), high);
  }
  EXPECT_TRUE(std::isnan(Bf16ToFloat(FloatToBf16(NAN))));
  EXPECT_EQ(FloatToBf16(std::numeric_limits<float>::max()), 0x7f80);  // rounds up to infinity
}

}  // namespace
}  // namespace sq
