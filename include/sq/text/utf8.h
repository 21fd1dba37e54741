// UTF-8: decoding, encoding, and replacement of invalid bytes.
#pragma once

#include <string>
#include <string_view>

namespace sq {

// Decodes the first sequence of `bytes` (not empty) and returns its length in bytes, 1 to 4. For an
// ill-formed sequence *code_point is U+FFFD and the length is that of the maximal subpart (Unicode
// section 3.9, table 3-7). Sets *valid, unless null, accordingly.
int DecodeUtf8(std::string_view bytes, char32_t* code_point, bool* valid = nullptr);

// Appends `code_point` (a Unicode scalar value) to *out.
void AppendUtf8(char32_t code_point, std::string* out);

bool IsValidUtf8(std::string_view bytes);

// Offset of the first ill-formed sequence at or after `from`, which must be the start of a
// character; the size of `bytes` if there is none.
size_t FindInvalidUtf8(std::string_view bytes, size_t from = 0);

// `bytes` with each maximal ill-formed subsequence replaced by one U+FFFD, as in Python's
// bytes.decode("utf-8", errors="replace") and Rust's from_utf8_lossy.
std::string ReplaceInvalidUtf8(std::string_view bytes);

}  // namespace sq
