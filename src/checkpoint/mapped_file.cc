#include "sq/checkpoint/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/placeholder.h"

namespace sq {
namespace {

// The files that are mapped at present, for the handler of SIGBUS, which may take no lock. Those
// beyond its end are not named.
std::atomic<const MappedFile*> mapped_files[1024];

void Enter(const MappedFile* file) {
  for (auto& place : mapped_files) {
    const MappedFile* empty = nullptr;
    if (place.compare_exchange_strong(empty, file)) return;
  }
}

void Leave(const MappedFile* file) {
  for (auto& place : mapped_files) {
    const MappedFile* found = file;
    if (place.compare_exchange_strong(found, nullptr)) return;
  }
}

void Say(const char* text, size_t bytes) {
  if (write(STDERR_FILENO, text, bytes) < 0) return;  // nobody is there to be told
}

void OnBusError(int, siginfo_t* info, void*) {
  const auto* at = static_cast<const uint8_t*>(info->si_addr);
  constexpr char kBegin[] = "error: ", kUnknown[] = "a mapped file";
  constexpr char kEnd[] =
      ": cannot be read any more: it was cut or replaced meanwhile, or its disk failed\n";
  Say(kBegin, sizeof kBegin - 1);
  const MappedFile* named = nullptr;
  for (const auto& place : mapped_files) {
    const MappedFile* file = place.load();
    if (file != nullptr && at >= file->data() && at < file->data() + file->size()) named = file;
  }
  if (named != nullptr) {
    Say(named->path().data(), named->path().size());
  } else {
    Say(kUnknown, sizeof kUnknown - 1);
  }
  Say(kEnd, sizeof kEnd - 1);
  _exit(1);
}

}  // namespace

void ExplainBusErrors() {
  struct sigaction action {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &action, nullptr);
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: a pipe without a writer is refused below rather than waited for.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const int failure = errno;
  SQ_CHECK(descriptor >= 0, path,
           ": cannot open: ", IsDanglingLink(path) ? WhyMissing(path) : std::strerror(failure));
  struct stat status {};
  std::string problem;
  if (fstat(descriptor, &status) != 0) {
    problem = std::strerror(errno);
  } else if (!S_ISREG(status.st_mode)) {
    problem = "not a regular file";
  } else if (status.st_size > 0) {
    void* mapped =
        mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapped == MAP_FAILED) {
      problem = std::strerror(errno);
    } else {
      data_ = static_cast<const uint8_t*>(mapped);
      size_ = status.st_size;
    }
  }
  close(descriptor);
  SQ_CHECK(problem.empty(), path, ": cannot map: ", problem);
  const std::string placeholder =
      PlaceholderText({reinterpret_cast<const char*>(data_),
                       static_cast<size_t>(std::min<int64_t>(size_, int64_t{kPlaceholderBytes}))});
  if (placeholder.empty()) {
    if (data_ != nullptr) Enter(this);
    return;
  }
  Unmap();
  throw Error(StrCat(path, ": ", placeholder));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) Leave(this);
  Unmap();
}

void MappedFile::Unmap() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), static_cast<size_t>(size_));
}

void MappedFile::Release(int64_t offset, int64_t bytes) const {
  const int64_t page = sysconf(_SC_PAGESIZE);
  const int64_t begin = (offset + page - 1) / page * page;
  const int64_t end = (offset + bytes) / page * page;
  if (begin >= end) return;
  // Advice only: a failure costs memory, not correctness.
  madvise(const_cast<uint8_t*>(data_) + begin, static_cast<size_t>(end - begin), MADV_DONTNEED);
}

}  // namespace sq
