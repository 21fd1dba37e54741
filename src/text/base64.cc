#include "sq/text/base64.h"

#include <array>
#include <cstdint>

#include "sq/base/error.h"

namespace sq {
namespace {

// The value of each digit; -1: none.
std::array<int8_t, 256> DigitValues() {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::array<int8_t, 256> values;
  values.fill(-1);
  for (size_t i = 0; i < kDigits.size(); ++i) {
    values[static_cast<unsigned char>(kDigits[i])] = static_cast<int8_t>(i);
  }
  return values;
}

}  // namespace

std::string DecodeBase64(std::string_view text, const std::string& what) {
  static const std::array<int8_t, 256> values = DigitValues();
  std::string_view digits = text;
  while (digits.size() + 2 > text.size() && !digits.empty() && digits.back() == '=') {
    digits.remove_suffix(1);
  }
  const bool is_padded = digits.size() < text.size();
  SQ_CHECK(digits.size() % 4 != 1 && (!is_padded || text.size() % 4 == 0), what,
           ": expected base64, found ", Quoted(text));
  std::string bytes;
  bytes.reserve(digits.size() / 4 * 3 + 2);
  uint32_t group = 0;
  int bits = 0;
  for (const char c : digits) {
    const int value = values[static_cast<unsigned char>(c)];
    SQ_CHECK(value >= 0, what, ": expected base64, found ", Quoted(text));
    group = group << 6 | static_cast<uint32_t>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<char>(group >> bits & 0xff));
  }
  return bytes;
}

}  // namespace sq
