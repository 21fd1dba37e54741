// Stand-ins for characters that are newer than the Unicode tables of the installed PCRE2.
#pragma once

#include <string>
#include <string_view>

namespace sq {

// Prepares `text` (valid UTF-8) for a search by PCRE2: replaces each character added in Unicode
// 15.0 to 16.0 by an older one of the same general category and the same length, so that positions
// of matches are valid in `text`. Returns `text` itself if it has no such characters, else
// *storage.
std::string_view WithStandIns(std::string_view text, std::string* storage);

// Whether one of the characters `first` to `last` has a stand-in or is one. A pattern that names
// such a character cannot be used on the result of WithStandIns.
bool HasOrIsStandIn(char32_t first, char32_t last);

}  // namespace sq
