// A lock that keeps other processes off a file's folder, and ends with the process however that
// ends.
#pragma once

#include <string>

namespace sq {

class FileLock {
 public:
  // Locks the file `path`, which is there. Throws sq::Error, "WHAT is in use by another process",
  // when it is locked already, and naming the file when it cannot be opened or locked.
  FileLock(const std::string& path, const std::string& what);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace sq
