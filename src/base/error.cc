#include "sq/base/error.h"

#include <cstdio>
#include <cstdlib>

namespace sq {

int64_t CheckedMultiply(int64_t a, int64_t b, const std::string& what) {
  int64_t result = 0;
  SQ_CHECK(a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, &result), what, ": size ", a, " x ", b,
           " is negative or does not fit 64 bits");
  return result;
}

int64_t CheckedAdd(int64_t a, int64_t b, const std::string& what) {
  int64_t result = 0;
  SQ_CHECK(a >= 0 && b >= 0 && !__builtin_add_overflow(a, b, &result), what, ": size ", a, " + ", b,
           " is negative or does not fit 64 bits");
  return result;
}

namespace internal {

void InvariantFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, condition);
  std::abort();
}

}  // namespace internal
}  // namespace sq
