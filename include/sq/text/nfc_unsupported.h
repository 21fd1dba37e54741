// Characters that Hugging Face's NFC, which has the tables of Unicode 9, does not support.
#pragma once

namespace sq {

// Whether `c` has a combining class or a canonical decomposition, or is part of one, only in
// versions after Unicode 9. Hugging Face's NFC leaves such characters unchanged and does not
// compose across them.
bool IsUnsupportedByNfc(char32_t c);

}  // namespace sq
