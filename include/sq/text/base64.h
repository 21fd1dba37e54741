// Base64 (RFC 4648, section 4), used in vocabularies of byte strings.
#pragma once

#include <string>
#include <string_view>

namespace sq {

// Decodes `text`, with or without padding. Throws sq::Error, beginning with `what`, for invalid
// input.
std::string DecodeBase64(std::string_view text, const std::string& what);

}  // namespace sq
