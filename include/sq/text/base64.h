// Base64 (RFC 4648, section 4), as vocabularies of bytes are written.
#pragma once

#include <string>
#include <string_view>

namespace sq {

// The bytes that `text` stands for, with or without padding; "" is no bytes. Throws sq::Error,
// opening with `what`, for anything else.
std::string DecodeBase64(std::string_view text, const std::string& what);

}  // namespace sq
