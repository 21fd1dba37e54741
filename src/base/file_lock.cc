#include "sq/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sq/base/error.h"

namespace sq {

FileLock::FileLock(const std::string& path, const std::string& what)
    : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  SQ_CHECK(descriptor_ >= 0, path, ": cannot open: ", std::strerror(errno));
  if (flock(descriptor_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  close(descriptor_);
  SQ_CHECK(error != EWOULDBLOCK, what, " is in use by another process");
  throw Error(StrCat(path, ": cannot lock: ", std::strerror(error)));
}

FileLock::~FileLock() { close(descriptor_); }

}  // namespace sq
