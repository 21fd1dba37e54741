#include "sq/base/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>

#include "sq/base/error.h"
#include "sq/base/file.h"

namespace sq {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBufferBytes = 1 << 20;
constexpr int kAttempts = 100;

std::string Reason() { return std::strerror(errno); }

void WriteAll(int descriptor, const char* data, int64_t bytes, const std::string& path) {
  while (bytes > 0) {
    const ssize_t count = write(descriptor, data, static_cast<size_t>(bytes));
    if (count < 0 && errno == EINTR) continue;
    SQ_CHECK(count >= 0, path, ": cannot write: ", Reason());
    data += count;
    bytes -= count;
  }
}

// The descriptor N if `path` refers to an open file of this process (/dev/stdout, /dev/fd/N,
// /proc/self/fd/N), else -1. Such a file is written through its descriptor: reopened by name, a
// redirected stdout would be overwritten from its start, and a socket could not be opened.
int OpenFileNumber(const std::string& path) {
  fs::path at = path;
  std::error_code error;
  for (int links = 0; links < 40; ++links) {
    const std::string folder = at.parent_path().string(), name = at.filename().string();
    int number = -1;
    const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), number);
    const bool is_number = failure == std::errc() && end == name.data() + name.size();
    if (is_number && (folder == "/proc/self/fd" || folder == "/dev/fd" ||
                      folder == StrCat("/proc/", getpid(), "/fd"))) {
      return number;
    }
    const fs::path next = fs::read_symlink(at, error);
    if (error) return -1;
    at = (at.parent_path() / next).lexically_normal();
  }
  return -1;
}

// Opens an existing file that is not a regular file, for writing in place; -1 if there is none.
int OpenInPlace(const std::string& path, const std::string& target) {
  const int number = OpenFileNumber(path);
  if (number >= 0) {
    std::fflush(stdout);  // keep the order of earlier output
    const int descriptor = fcntl(number, F_DUPFD_CLOEXEC, 0);
    SQ_CHECK(descriptor >= 0, path, ": cannot open: ", Reason());
    return descriptor;
  }
  struct stat status {};
  if (stat(target.c_str(), &status) != 0 || S_ISREG(status.st_mode)) return -1;
  SQ_CHECK(!S_ISDIR(status.st_mode), path, ": cannot write: ", std::strerror(EISDIR));
  const int descriptor = open(target.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  SQ_CHECK(descriptor >= 0, path, ": cannot open: ", Reason());
  return descriptor;
}

}  // namespace

std::string TemporaryName(const std::string& path) {
  constexpr size_t kLongest = 200;  // of the 255 bytes that a name may have
  static constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
  std::random_device random;
  std::string name = fs::path(path).filename().string().substr(0, kLongest) + ".";
  for (int i = 0; i < 6; ++i) name += kLetters[random() % (sizeof kLetters - 1)];
  return (fs::path(path).parent_path() / (name + ".tmp")).string();
}

OutputFile::OutputFile(const std::string& path) : path_(path), target_(FollowLinks(path)) {
  descriptor_ = OpenInPlace(path, target_);
  if (descriptor_ < 0) OpenTemporary();
}

void OutputFile::OpenTemporary() {
  // A read-only file is not replaced, although the system would allow it.
  SQ_CHECK(!FileExists(target_) || access(target_.c_str(), W_OK) == 0, path_,
           ": cannot write: ", Reason());
  for (int attempt = 0; descriptor_ < 0; ++attempt) {
    temporary_ = TemporaryName(target_);
    descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    SQ_CHECK(descriptor_ >= 0 || (errno == EEXIST && attempt < kAttempts), path_,
             ": cannot create: ", Reason());
  }
  struct stat old {};
  if (stat(target_.c_str(), &old) != 0) return;
  // If permissions cannot be set, the defaults for new files remain.
  if (fchmod(descriptor_, old.st_mode & 07777) != 0) return;
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void OutputFile::Write(const void* data, int64_t bytes) {
  if (bytes >= kBufferBytes) {
    WriteThrough(buffer_.data(), static_cast<int64_t>(buffer_.size()));
    buffer_.clear();
    return WriteThrough(data, bytes);
  }
  buffer_.append(static_cast<const char*>(data), static_cast<size_t>(bytes));
  if (static_cast<int64_t>(buffer_.size()) < kBufferBytes) return;
  WriteThrough(buffer_.data(), static_cast<int64_t>(buffer_.size()));
  buffer_.clear();
}

void OutputFile::WriteThrough(const void* data, int64_t bytes) {
  WriteAll(descriptor_, static_cast<const char*>(data), bytes, path_);
}

void OutputFile::Commit() {
  WriteThrough(buffer_.data(), static_cast<int64_t>(buffer_.size()));
  // Some file systems report a full disk only here. A pipe cannot be flushed.
  SQ_CHECK(fsync(descriptor_) == 0 || temporary_.empty(), path_, ": cannot write: ", Reason());
  const int closed = close(descriptor_);
  descriptor_ = -1;
  if (temporary_.empty()) {
    SQ_CHECK(closed == 0, path_, ": cannot write: ", Reason());
    return;
  }
  try {
    SQ_CHECK(closed == 0, path_, ": cannot write: ", Reason());
    Replace();
  } catch (...) {
    unlink(temporary_.c_str());
    throw;
  }
}

void OutputFile::Replace() {
  if (rename(temporary_.c_str(), target_.c_str()) == 0) return;
  const std::string reason = Reason();
  const bool is_kept =
      errno == EBUSY || errno == EACCES || errno == EPERM || errno == EEXIST || errno == ETXTBSY;
  if (!is_kept || !IsRegularFile(target_)) throw Error(StrCat(path_, ": cannot write: ", reason));
  const int from = open(temporary_.c_str(), O_RDONLY | O_CLOEXEC);
  const int to = open(target_.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC);
  std::string failure;
  if (from < 0 || to < 0) failure = reason;
  std::string block(static_cast<size_t>(kBufferBytes), '\0');
  ssize_t count = 0;
  try {
    while (failure.empty() && (count = read(from, block.data(), block.size())) > 0) {
      WriteAll(to, block.data(), count, path_);
    }
    if (failure.empty() && (count < 0 || fsync(to) != 0)) failure = Reason();
  } catch (const Error& error) {
    failure = error.what();
  }
  if (from >= 0) close(from);
  if (to >= 0) close(to);
  SQ_CHECK(failure.empty(), path_, ": cannot write: ", failure);
  unlink(temporary_.c_str());
}

void WriteFile(const std::string& path, const std::string& contents) {
  OutputFile file(path);
  file.Write(contents.data(), static_cast<int64_t>(contents.size()));
  file.Commit();
}

void CheckCanWrite(const std::string& path) {
  const std::string target = FollowLinks(path);
  struct stat status {};
  // Opening a pipe would block until it has a reader.
  if (stat(target.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
    SQ_CHECK(access(target.c_str(), W_OK) == 0, path, ": cannot write: ", Reason());
    return;
  }
  OutputFile probe(path);
}

void MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  SQ_CHECK(!error, path, ": cannot make the folder: ", error.message());
}

}  // namespace sq
