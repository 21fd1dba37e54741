// Unicode properties of characters that matching of added tokens needs.
#pragma once

#include <cstddef>
#include <string_view>

namespace sq {

// The last character of `text`, which is valid UTF-8 and not empty; *length in bytes.
char32_t LastCharacter(std::string_view text, size_t* length);

// Unicode's White_Space.
bool IsWhiteSpace(char32_t c);

// Bytes of leading or trailing white space of `text` (valid UTF-8).
size_t WhiteSpaceAtStart(std::string_view text);
size_t WhiteSpaceAtEnd(std::string_view text);

// A word character as defined by Unicode's regular expressions (UTS 18, \w): Alphabetic, marks,
// decimal digits, connector punctuation or Join_Control.
bool IsWordCharacter(char32_t c);

}  // namespace sq
