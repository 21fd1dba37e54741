#include "sq/base/file_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <optional>
#include <sstream>

#include "sq/base/error.h"

namespace sq {
namespace {

constexpr char kFirstLine[] = "lock file of squeezellm";
constexpr size_t kMaxBytes = 1 << 20;
constexpr int kAttempts = 100;  // each fails only if another process was faster

// Contents of a lock file: kFirstLine, then these fields, one per line.
struct Owner {
  std::string program, host, since, start;
  long pid = 0;
  std::string note;
};

std::string HostName() {
  char name[256] = "";
  gethostname(name, sizeof name - 1);
  return name;
}

// Start time of process `pid` in clock ticks, which tells apart processes that reuse a pid. Empty
// if there is no such process.
std::string StartOf(long pid) {
  std::ifstream file(StrCat("/proc/", pid, "/stat"));
  std::string text;
  std::getline(file, text);
  // The program name, in parentheses, may contain anything; the start time is the 20th field after
  // it.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string::npos) return "";
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  for (int i = 0; i < 20; ++i) fields >> field;
  return field;
}

std::string Now() {
  char text[64] = "";
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
  return text;
}

// Empty if the file is not a lock file. An empty file is one: its creator has not written to it
// yet.
std::optional<Owner> ReadOwner(int descriptor) {
  std::string text;
  char buffer[4096];
  ssize_t count = 0;
  while (text.size() < kMaxBytes &&
         (count = pread(descriptor, buffer, sizeof buffer, static_cast<off_t>(text.size()))) > 0) {
    text.append(buffer, static_cast<size_t>(count));
  }
  if (text.empty()) return Owner();
  std::istringstream lines(text);
  std::string first, pid;
  Owner owner;
  std::getline(lines, first);
  if (first != kFirstLine) return std::nullopt;
  std::getline(lines, owner.program);
  std::getline(lines, pid);
  std::getline(lines, owner.host);
  std::getline(lines, owner.start);
  std::getline(lines, owner.since);
  std::getline(lines, owner.note);
  owner.pid = std::strtol(pid.c_str(), nullptr, 10);
  return owner;
}

[[noreturn]] void Refuse(const std::string& what, const Owner& owner) {
  if (owner.pid == 0) throw Error(what + " is in use: another process has just started there");
  throw Error(StrCat(what, " is in use: ", owner.program, " is running there (pid ", owner.pid,
                     " on ", owner.host, ", since ", owner.since, ")"));
}

// Whether the error means that the file system does not support locks; file systems differ in which
// one they report.
bool HasNoLocks(int error) {
  return error == ENOLCK || error == ENOSYS || error == EOPNOTSUPP || error == EINVAL;
}

// For a file that cannot be locked: throws unless the process that it names has ended.
void CheckGone(const Owner& owner, const std::string& path, const std::string& what) {
  if (owner.pid != 0 && owner.host != HostName()) {
    throw Error(StrCat(what, " is in use: ", owner.program, " was started there (pid ", owner.pid,
                       " on ", owner.host, ", since ", owner.since, "); if that has ended, remove ",
                       path));
  }
  const bool runs = owner.pid == 0 || (!owner.start.empty() && StartOf(owner.pid) == owner.start);
  if (runs) Refuse(what, owner);
}

}  // namespace

FileLock::FileLock(const std::string& path, const std::string& what) : path_(path) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (TryMake() || TryTakeOver(what)) return;
  }
  throw Error(StrCat(path, ": cannot be locked: other processes keep creating and removing it"));
}

// False if the file exists, or existed for a moment.
bool FileLock::TryMake() {
  descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (descriptor_ < 0 && errno == EEXIST) return false;
  SQ_CHECK(descriptor_ >= 0, path_, ": cannot create: ", std::strerror(errno));
  // Another process may have taken it for a stale lock, and may even have released it already.
  if ((flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && !HasNoLocks(errno)) || !HasItsName()) {
    Close();
    return false;
  }
  Write();
  return true;
}

// False if the file no longer exists.
bool FileLock::TryTakeOver(const std::string& what) {
  descriptor_ = open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor_ < 0 && errno == ENOENT) return false;
  SQ_CHECK(descriptor_ >= 0, path_, ": cannot open: ", std::strerror(errno));
  try {
    const bool locked = flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
    const int error = errno;
    const std::optional<Owner> owner = ReadOwner(descriptor_);
    SQ_CHECK(owner, path_, ": exists and is not a lock file of squeezellm; nothing was changed");
    if (!locked) {
      SQ_CHECK(error == EWOULDBLOCK || HasNoLocks(error), path_,
               ": cannot lock: ", std::strerror(error));
      if (error == EWOULDBLOCK) Refuse(what, *owner);
      CheckGone(*owner, path_, what);
    }
    if (!HasItsName()) {
      Close();
      return false;
    }
    left_note_ = note_ = owner->note;
    Write();
  } catch (...) {
    Close();
    throw;
  }
  return true;
}

// A holder removes its file before unlocking, so the file locked here may have been deleted or
// replaced in the meantime.
bool FileLock::HasItsName() const {
  struct stat mine {
  }, named{};
  return fstat(descriptor_, &mine) == 0 && lstat(path_.c_str(), &named) == 0 &&
         mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

void FileLock::Write() {
  const std::string text =
      StrCat(kFirstLine, "\n", program_invocation_short_name, "\n", getpid(), "\n", HostName(),
             "\n", StartOf(getpid()), "\n", Now(), "\n", note_, "\n");
  const bool written =
      pwrite(descriptor_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()) &&
      ftruncate(descriptor_, static_cast<off_t>(text.size())) == 0;
  if (written) return;
  const int error = errno;
  unlink(path_.c_str());
  Close();
  throw Error(StrCat(path_, ": cannot write: ", std::strerror(error)));
}

void FileLock::SetNote(const std::string& note) {
  SQ_DCHECK(note.find('\n') == std::string::npos && note.size() < kMaxBytes / 2);
  note_ = note;
  Write();
}

void FileLock::Close() {
  close(descriptor_);
  descriptor_ = -1;
}

FileLock::~FileLock() {
  if (descriptor_ < 0) return;
  unlink(path_.c_str());
  Close();
}

}  // namespace sq
