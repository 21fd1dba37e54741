// Characters whose composition is newer than Hugging Face's.
#pragma once

namespace sq {

// Whether `c` has a combining class or a canonical decomposition, or is part of one, only since a
// Unicode version that the tables of Hugging Face's NFC (those of Unicode 9) do not have. It leaves
// such characters where they are and composes nothing across them.
bool IsUnsupportedByNfc(char32_t c);

}  // namespace sq
