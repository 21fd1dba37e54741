// Files and folders: what is there, and whole files in memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sq {

// What `path` leads to; false also when it cannot be looked up.
bool FileExists(const std::string& path);  // anything: file, folder ...
bool IsRegularFile(const std::string& path);
bool IsFolder(const std::string& path);

// Where the symbolic links that `path` may be lead, one after the other: a path that is no link,
// but may not be there. Links among its folders are left. Throws sq::Error when they lead in a
// circle.
std::string FollowLinks(const std::string& path);

// Whether `path` is in the folder `folder`, or in one in it, by their names; neither need be there.
bool IsWithin(const std::string& path, const std::string& folder);

// The names in the folder at `path`, in bytewise order. Throws sq::Error when it cannot be read.
std::vector<std::string> FolderNames(const std::string& path);

// The bytes of the regular file at `path`. Throws sq::Error naming the file when it cannot be read,
// is not a regular file, or is larger than `max_bytes`.
std::string ReadFile(const std::string& path, int64_t max_bytes);

}  // namespace sq
