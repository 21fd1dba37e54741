// The one place that writes outputs: under a temporary name beside the target, renamed when whole,
// so that a full disk, an error or a kill never leaves a damaged file under the final name.
#pragma once

#include <cstdint>
#include <string>

namespace sq {

// A file being written. Owns its descriptor; removed again unless Commit is reached.
//
// Symbolic links are followed: it is the file that they lead to that is replaced, and its rights
// are kept. What is no regular file (a pipe, a device, /dev/stdout) is written to as it is.
class OutputFile {
 public:
  // Makes a file of a new name, `path`.XXXXXX.tmp, which nobody else has. Throws sq::Error naming
  // `path` when there can be none, or `path` is a folder.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Appends. Throws sq::Error naming the file and the system's reason ("No space left on device").
  void Write(const void* data, int64_t bytes);
  // Flushes to the disk and gives the file its name. Where the system does not let the old file be
  // replaced (one mounted by itself, say, or open on a network drive) its contents are. Nothing may
  // be written after.
  void Commit();

  const std::string& path() const { return path_; }

 private:
  void OpenTemporary();
  void WriteThrough(const void* data, int64_t bytes);
  void Replace();

  std::string path_;       // as given
  std::string target_;     // where links lead
  std::string temporary_;  // empty: written in place
  int descriptor_ = -1;
  std::string buffer_;  // small writes are gathered
};

// Writes a whole small file the same way.
void WriteFile(const std::string& path, const std::string& contents);

// Throws sq::Error as an OutputFile at `path` would, for a user to know before the work. Leaves
// nothing.
void CheckCanWrite(const std::string& path);

// Makes a folder and its parents; no error when it is there already.
void MakeFolder(const std::string& path);

// A name beside `path` that nothing has, for a file or folder that is to become it:
// `path`.XXXXXX.tmp. Long names are cut, so that it fits. Another process may take it: it is to be
// made exclusively.
std::string TemporaryName(const std::string& path);

}  // namespace sq
