// Detects files that a failed download left in place of the real ones: git-lfs pointers, and web
// pages or error messages saved under the name of the requested file.
#pragma once

#include <string>
#include <string_view>

namespace sq {

// Bytes at the start of a file that are enough to decide.
inline constexpr size_t kPlaceholderBytes = 1024;

// If a file that begins with `bytes` is a placeholder, says what it is and how to get the real file
// ("a git-lfs pointer, not the file itself; ..."); empty otherwise. `bytes` are the first
// kPlaceholderBytes of the file, or all if there are fewer.
std::string PlaceholderText(std::string_view bytes);

// Throws sq::Error naming `path` when `bytes` begin a placeholder. Called by everything that opens
// a user's file.
void CheckNoPlaceholder(std::string_view bytes, const std::string& path);

}  // namespace sq
