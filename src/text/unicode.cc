#include "sq/text/unicode.h"

#include <string>

#include "sq/text/regex.h"
#include "sq/text/utf8.h"

namespace sq {

bool IsWhiteSpace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
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
