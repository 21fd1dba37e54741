#include "sq/base/file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "sq/base/error.h"
#include "sq/base/placeholder.h"

namespace sq {

namespace fs = std::filesystem;

bool FileExists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

bool IsRegularFile(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

bool IsFolder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::string FollowLinks(const std::string& path) {
  constexpr int kMaxLinks = 40;  // as in Linux
  fs::path at = path;
  std::error_code error;
  for (int links = 0; fs::is_symlink(fs::symlink_status(at, error)); ++links) {
    SQ_CHECK(links < kMaxLinks, path, ": too many symbolic links");
    const fs::path next = fs::read_symlink(at, error);
    SQ_CHECK(!error, at.string(), ": ", error.message());
    at = at.parent_path() / next;  // `next` itself if absolute
  }
  return at.string();
}

bool IsWithin(const std::string& path, const std::string& folder) {
  std::error_code error;
  const fs::path relative =
      fs::weakly_canonical(fs::absolute(path), error)
          .lexically_relative(fs::weakly_canonical(fs::absolute(folder), error));
  return !relative.empty() && *relative.begin() != ".." && relative != ".";
}

std::vector<std::string> FolderNames(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(path, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  SQ_CHECK(!error, path, ": ", error.message());
  std::sort(names.begin(), names.end());
  return names;
}

bool IsDanglingLink(const std::string& path) {
  std::error_code error;
  return fs::is_symlink(path, error) && fs::status(path, error).type() == fs::file_type::not_found;
}

std::string WhyMissing(const std::string& path) {
  if (!IsDanglingLink(path)) return "no such file";
  std::error_code error;
  return "a link to " + fs::read_symlink(path, error).string() + ", which is not there";
}

std::string ReadFile(const std::string& path, int64_t max_bytes) {
  std::error_code error;
  const auto status = fs::status(path, error);
  SQ_CHECK(status.type() != fs::file_type::not_found, path, ": ", WhyMissing(path));
  SQ_CHECK(!error, path, ": ", error.message());
  SQ_CHECK(fs::is_regular_file(status), path, ": not a regular file");
  const auto size = static_cast<int64_t>(fs::file_size(path, error));
  SQ_CHECK(!error, path, ": ", error.message());
  SQ_CHECK(size <= max_bytes, path, ": ", size, " bytes, expected at most ", max_bytes);
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  SQ_CHECK(in, path, ": cannot be opened: ", std::strerror(errno));
  std::string bytes(static_cast<size_t>(size), '\0');
  in.read(bytes.data(), size);
  SQ_CHECK(in.gcount() == size, path, ": expected ", size, " bytes, read ", in.gcount());
  CheckNoPlaceholder(bytes, path);
  return bytes;
}

}  // namespace sq
