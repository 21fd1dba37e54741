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

// A link to what is not there, as in a copy of the hub's cache without its blobs.
bool IsDanglingLink(const std::string& path);

// What to say of a `path` that leads to nothing: "no such file", or where the link leads.
std::string WhyMissing(const std::string& path);

// The bytes of the regular file at `path`. Throws sq::Error naming the file when it cannot be read,
// is not a regular file, is larger than `max_bytes`, or is none of its own (see placeholder.h).
std::string ReadFile(const std::string& path, int64_t max_bytes);

}  // namespace sq
