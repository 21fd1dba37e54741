#include "sq/text/unicode.h"

#include <string>

#include "sq/text/regex.h"
#include "sq/text/utf8.h"

namespace sq {

char32_t LastCharacter(std::string_view text, size_t* length) {
  size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  char32_t c;
  *length = static_cast<size_t>(DecodeUtf8(text.substr(begin), &c));
  return c;
}

bool IsWhiteSpace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

size_t WhiteSpaceAtEnd(std::string_view text) {
  const size_t size = text.size();
  size_t length;
  while (!text.empty() && IsWhiteSpace(LastCharacter(text, &length))) text.remove_suffix(length);
  return size - text.size();
}

size_t WhiteSpaceAtStart(std::string_view text) {
  size_t total = 0;
  while (total < text.size()) {
    char32_t c;
    const int length = DecodeUtf8(text.substr(total), &c);
    if (!IsWhiteSpace(c)) break;
    total += length;
  }
  return total;
}

bool IsWordCharacter(char32_t c) {
  if (c < 0x80) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  }
  static const Regex word = Regex::WordCharacter();
  std::string text;
  AppendUtf8(c, &text);
  Regex::Scratch scratch;
  Regex::Match match;
  return word.Find(text, 0, &scratch, &match);
}

}  // namespace sq
