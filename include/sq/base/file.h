// File system queries, and reading whole files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sq {

// Type of the file at `path`, symbolic links followed; false also when it cannot be queried.
bool FileExists(const std::string& path);  // of any type
bool IsRegularFile(const std::string& path);
bool IsFolder(const std::string& path);

// Follows `path` while it is a symbolic link. The result is not a link, and need not exist; links
// among its parent folders are not resolved. Throws sq::Error for a cycle of links.
std::string FollowLinks(const std::string& path);

// Whether `path` is inside `folder` at any depth, judged by their names; neither has to exist.
bool IsWithin(const std::string& path, const std::string& folder);

// The names of the entries of a folder, in bytewise order. Throws sq::Error when it cannot be read.
std::vector<std::string> FolderNames(const std::string& path);

// Whether `path` is a link whose target does not exist, as in a copy of the Hugging Face cache
// without its blobs.
bool IsDanglingLink(const std::string& path);

// Why `path` cannot be opened, for messages: "no such file", or the missing target of a link.
std::string WhyMissing(const std::string& path);

// Reads a whole regular file. Throws sq::Error naming the file when it cannot be read, is not a
// regular file, is larger than `max_bytes`, or is a placeholder (see placeholder.h).
std::string ReadFile(const std::string& path, int64_t max_bytes);

}  // namespace sq
