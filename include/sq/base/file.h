// Whole files in memory, for those small enough to be read at once.
#pragma once

#include <cstdint>
#include <string>

namespace sq {

// The bytes of the regular file at `path`. Throws sq::Error naming the file when it cannot be read,
// is not a regular file, or is larger than `max_bytes`.
std::string ReadFile(const std::string& path, int64_t max_bytes);

}  // namespace sq
