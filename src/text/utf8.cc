#include "sq/text/utf8.h"

#include <cstdint>
#include <cstring>

#include "sq/base/error.h"

namespace sq {
namespace {

constexpr char32_t kReplacement = 0xfffd;

bool IsAscii8(const char* bytes) {
  uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return (word & 0x8080808080808080u) == 0;
}

}  // namespace

size_t FindInvalidUtf8(std::string_view bytes, size_t from) {
  size_t i = from;
  while (i < bytes.size()) {
    if (i + 8 <= bytes.size() && IsAscii8(bytes.data() + i)) {
      i += 8;
      continue;
    }
    char32_t code_point;
    bool valid;
    const int length = DecodeUtf8(bytes.substr(i), &code_point, &valid);
    if (!valid) return i;
    i += length;
  }
  return bytes.size();
}

int DecodeUtf8(std::string_view bytes, char32_t* code_point, bool* valid) {
  SQ_DCHECK(!bytes.empty());
  const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  const unsigned char lead = at(0);
  if (valid != nullptr) *valid = true;
  if (lead < 0x80) {
    *code_point = lead;
    return 1;
  }
  // The range of the second byte excludes overlong forms, surrogates and values past U+10FFFF.
  int length = 0;
  unsigned char low = 0x80, high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;
    if (lead == 0xed) high = 0x9f;
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;
    if (lead == 0xf4) high = 0x8f;
  }
  char32_t value = lead & (0x7f >> length);
  int i = 1;
  for (; i < length && static_cast<size_t>(i) < bytes.size(); ++i) {
    if (at(i) < low || at(i) > high) break;
    value = value << 6 | (at(i) & 0x3f);
    low = 0x80;
    high = 0xbf;
  }
  if (i == length) {
    *code_point = value;
    return length;
  }
  if (valid != nullptr) *valid = false;
  *code_point = kReplacement;
  return i;
}

void AppendUtf8(char32_t code_point, std::string* out) {
  SQ_DCHECK(code_point <= 0x10ffff);
  const auto push = [&](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  const auto push_rest = [&](int shift) { push(0x80 | (code_point >> shift & 0x3f)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xc0 | code_point >> 6);
    push_rest(0);
  } else if (code_point < 0x10000) {
    push(0xe0 | code_point >> 12);
    push_rest(6);
    push_rest(0);
  } else {
    push(0xf0 | code_point >> 18);
    push_rest(12);
    push_rest(6);
    push_rest(0);
  }
}

bool IsValidUtf8(std::string_view bytes) { return FindInvalidUtf8(bytes, 0) == bytes.size(); }

std::string ReplaceInvalidUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  size_t begin = 0;
  while (true) {
    const size_t invalid = FindInvalidUtf8(bytes, begin);
    out.append(bytes, begin, invalid - begin);
    if (invalid == bytes.size()) return out;
    char32_t code_point;
    begin = invalid + DecodeUtf8(bytes.substr(invalid), &code_point);
    AppendUtf8(kReplacement, &out);
  }
}

}  // namespace sq
