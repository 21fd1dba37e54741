// Properties of characters that matching needs, by Unicode's definitions.
#pragma once

namespace sq {

// Unicode's White_Space.
bool IsWhiteSpace(char32_t c);

// Part of a word as Unicode's regular expressions (UTS 18, \w) define it: Alphabetic, marks,
// decimal digits, connector punctuation or Join_Control.
bool IsWordCharacter(char32_t c);

}  // namespace sq
