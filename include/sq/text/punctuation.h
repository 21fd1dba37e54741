// What Hugging Face's pre-tokenizers take for punctuation.
#pragma once

namespace sq {

// The class of those characters, in PCRE2's syntax: ASCII's punctuation and symbols, and Unicode's
// punctuation as it was some versions ago.
extern const char* const kPunctuation;

}  // namespace sq
