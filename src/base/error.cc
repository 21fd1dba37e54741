#include "sq/base/error.h"

#include <cstdio>
#include <cstdlib>

namespace sq {

namespace {

// Length in bytes of the printable UTF-8 character at `i`; 0 for control characters and invalid
// UTF-8.
size_t PrintableBytes(std::string_view text, size_t i) {
  const auto byte = static_cast<unsigned char>(text[i]);
  if (byte < 0x20 || byte == 0x7f || byte >= 0xf5) return 0;
  // The lead byte gives the number of continuation bytes, of which only the two high bits are
  // checked.
  const size_t length = byte < 0x80    ? 1
                        : byte >= 0xf0 ? 4
                        : byte >= 0xe0 ? 3
                        : byte >= 0xc2 ? 2
                                       : 0;
  if (length == 0 || i + length > text.size()) return 0;
  for (size_t k = 1; k < length; ++k) {
    if ((text[i + k] & 0xc0) != 0x80) return 0;
  }
  // U+0080 to U+009F are control characters too.
  if (byte == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0) return 0;
  return length;
}

}  // namespace

std::string Quoted(std::string_view text) {
  constexpr size_t kMaxBytes = 80;
  std::string quoted = "\"";
  size_t i = 0;
  while (i < text.size() && quoted.size() <= kMaxBytes) {
    if (const size_t length = PrintableBytes(text, i)) {
      quoted += text.substr(i, length);
      i += length;
    } else {
      char escape[5];
      std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(text[i]));
      quoted += escape;
      ++i;
    }
  }
  return quoted + (i < text.size() ? "...\"" : "\"");
}

bool IsPrintable(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t length = PrintableBytes(text, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

std::string NameList(const std::vector<std::string>& names) {
  constexpr size_t kListed = 6;
  std::string list;
  for (size_t i = 0; i < names.size() && i < kListed; ++i) {
    list += (i > 0 ? ", " : "") + (IsPrintable(names[i]) ? names[i] : Quoted(names[i]));
  }
  if (names.size() > kListed) list += StrCat(" and ", names.size() - kListed, " more");
  return list;
}

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
