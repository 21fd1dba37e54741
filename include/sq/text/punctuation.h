// Punctuation as defined by Hugging Face's pre-tokenizers.
#pragma once

namespace sq {

// A character class in PCRE2 syntax: the punctuation and symbols of ASCII, and the punctuation of
// an earlier Unicode version.
extern const char* const kPunctuation;

}  // namespace sq
