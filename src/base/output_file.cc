#include "sq/base/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "sq/base/error.h"

namespace sq {
namespace {

constexpr int64_t kBufferBytes = 1 << 20;

std::string Reason() { return std::strerror(errno); }

}  // namespace

OutputFile::OutputFile(const std::string& path) : path_(path), temporary_(path + ".tmp") {
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  SQ_CHECK(descriptor_ >= 0, path, ": cannot create: ", Reason());
}

OutputFile::~OutputFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
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
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t count = write(descriptor_, next, static_cast<size_t>(bytes));
    if (count < 0 && errno == EINTR) continue;
    SQ_CHECK(count >= 0, path_, ": cannot write: ", Reason());
    next += count;
    bytes -= count;
  }
}

void OutputFile::Commit() {
  WriteThrough(buffer_.data(), static_cast<int64_t>(buffer_.size()));
  // Some file systems report a full disk only here.
  SQ_CHECK(fsync(descriptor_) == 0, path_, ": cannot write: ", Reason());
  const int closed = close(descriptor_);
  descriptor_ = -1;
  if (closed != 0 || rename(temporary_.c_str(), path_.c_str()) != 0) {
    const std::string reason = Reason();
    unlink(temporary_.c_str());
    throw Error(StrCat(path_, ": cannot write: ", reason));
  }
}

void WriteFile(const std::string& path, const std::string& contents) {
  OutputFile file(path);
  file.Write(contents.data(), static_cast<int64_t>(contents.size()));
  file.Commit();
}

void MakeFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  SQ_CHECK(!error, path, ": cannot make the folder: ", error.message());
}

}  // namespace sq
