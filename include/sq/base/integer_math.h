// Integer arithmetic for sizes.
#pragma once

#include <cstdint>

namespace sq {

// a / b rounded up, for a >= 0 and b > 0 with a + b - 1 in range.
constexpr int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace sq
