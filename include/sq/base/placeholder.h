// Files that are not what their name says because a download went wrong: pointers of git-lfs that
// were never followed, web pages and refusals saved under the name of what was asked for.
#pragma once

#include <string>
#include <string_view>

namespace sq {

// How many bytes of a file's beginning are enough to tell.
inline constexpr size_t kPlaceholderBytes = 1024;

// What a file that begins with `bytes` is instead of itself, for messages ("a git-lfs pointer, not
// the file itself; ..." and how to get the real one); empty for any other file. `bytes` are the
// first kPlaceholderBytes, or all where there are fewer.
std::string PlaceholderText(std::string_view bytes);

// Throws sq::Error, naming the file at `path`, when it is such a one. Whatever opens a file of the
// user's calls this with the beginning of the contents, so that no reader stumbles over them.
void CheckNoPlaceholder(std::string_view bytes, const std::string& path);

}  // namespace sq
