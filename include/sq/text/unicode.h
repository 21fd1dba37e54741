// Properties of characters that matching needs, by Unicode's definitions.
#pragma once

#include <cstddef>
#include <string_view>

namespace sq {

// The last character of `text`, which is valid UTF-8 and not empty; *length in bytes.
char32_t LastCharacter(std::string_view text, size_t* length);

// Unicode's White_Space.
bool IsWhiteSpace(char32_t c);

// How many bytes of white space `text` (valid UTF-8) begins or ends with.
size_t WhiteSpaceAtStart(std::string_view text);
size_t WhiteSpaceAtEnd(std::string_view text);

// Part of a word as Unicode's regular expressions (UTS 18, \w) define it: Alphabetic, marks,
// decimal digits, connector punctuation or Join_Control.
bool IsWordCharacter(char32_t c);

}  // namespace sq
