// A lock file: keeps other processes, of any of the tools, off a place where this one writes, and
// tells them who it is. It goes with the process that made it; what a killed one leaves behind is
// taken over by the next.
#pragma once

#include <string>

namespace sq {

class FileLock {
 public:
  // Makes the lock file `path`, or takes over one whose process is gone. Throws sq::Error: "WHAT is
  // in use: sq-quantize is running there (pid 123 on HOST, ...)" when another process has it; when
  // a file of that name is no lock file of ours; naming the file when it cannot be made.
  //
  // The system's locks decide. On a file system without them the process that the file names does:
  // one of this machine is looked up, one of another counts as running.
  FileLock(const std::string& path, const std::string& what);
  // Removes the file.
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // A line that stays in the file when the process is killed, for the one that takes it over: empty
  // at first. Throws sq::Error when it cannot be written.
  void SetNote(const std::string& note);
  // The last note of the process whose lock was taken over; empty when there was none.
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
