#include "sq/base/integer_math.h"

#include <gtest/gtest.h>

namespace sq {
namespace {

TEST(IntegerMath, CeilDivideRoundsUp) {
  for (int64_t b = 1; b <= 9; ++b) {
    int64_t expected = 0;  // groups of b that a items need, counted
    for (int64_t a = 0; a <= 100; ++a) {
      if (expected * b < a) ++expected;
      EXPECT_EQ(CeilDivide(a, b), expected) << a << " / " << b;
    }
  }
  static_assert(CeilDivide(int64_t{1} << 62, 3) == 1537228672809129302);
}

}  // namespace
}  // namespace sq
