// Characters newer than the Unicode tables of the installed PCRE2.
#pragma once

#include <string>
#include <string_view>

namespace sq {

// `text` (valid UTF-8) for a regular expression to search: each character that came with
// Unicode 15.0 to 16.0 is replaced by an older one of the same general category and the same
// length, so that places found are places in `text`. Returns `text` itself if it has none, else
// *storage.
std::string_view WithStandIns(std::string_view text, std::string* storage);

// Whether one of the characters `first` to `last` is such a new one or stands in for one: a pattern
// that names it cannot search what WithStandIns gives.
bool HasOrIsStandIn(char32_t first, char32_t last);

}  // namespace sq
