// A lock file: gives one process at a time the right to write to a place, and tells the others
// which process holds it. A lock left behind by a process that was killed is taken over by the
// next.
#pragma once

#include <string>

namespace sq {

class FileLock {
 public:
  // Creates the lock file `path`, or takes over one whose process no longer runs. Throws sq::Error
  // "WHAT is in use: sq-quantize is running there (pid 123 on HOST, ...)" when another process
  // holds it, and errors naming `path` when that is some other file or cannot be created.
  //
  // Relies on flock. On file systems without it, checks whether the process named in the file still
  // runs; a process on another host is assumed to run.
  FileLock(const std::string& path, const std::string& what);
  // Removes the file.
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // A line stored in the file for the process that takes the lock over if this one is killed;
  // initially empty. Throws sq::Error when it cannot be written.
  void SetNote(const std::string& note);
  // The note of the process whose lock was taken over; empty if there was none.
  const std::string& left_note() const { return left_note_; }

 private:
  bool TryMake();
  bool TryTakeOver(const std::string& what);
  bool HasItsName() const;
  void Write();
  void Close();

  std::string path_, note_, left_note_;
  int descriptor_ = -1;
};

}  // namespace sq
