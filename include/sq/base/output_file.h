// Writing output files: under a temporary name beside the target and renamed when complete, so that
// a full disk, an error or a kill never leaves an incomplete file under the final name. All outputs
// are written through this.
#pragma once

#include <cstdint>
#include <string>

namespace sq {

// A file being written. Owns its descriptor; the temporary file is removed unless Commit succeeds.
//
// Symbolic links are followed: their target is replaced, and its permissions are kept. A target
// that is not a regular file (a pipe, a device, /dev/stdout) is written to directly.
class OutputFile {
 public:
  // Creates a uniquely named temporary file, `path`.XXXXXX.tmp. Throws sq::Error naming `path` when
  // that fails or `path` is a folder.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Appends. Throws sq::Error naming the file and the system's reason ("No space left on device").
  void Write(const void* data, int64_t bytes);
  // Flushes to disk and renames to the final name. If the system does not allow the existing file
  // to be replaced (a bind mount, or a file open on a network drive), its contents are overwritten
  // instead. Nothing may be written afterwards.
  void Commit();

  const std::string& path() const { return path_; }

 private:
  void OpenTemporary();
  void WriteThrough(const void* data, int64_t bytes);
  void Replace();

  std::string path_;       // as given
  std::string target_;     // after following links
  std::string temporary_;  // empty: written in place
  int descriptor_ = -1;
  std::string buffer_;  // collects small writes
};

// Writes a small file in the same way.
void WriteFile(const std::string& path, const std::string& contents);

// Throws the sq::Error that an OutputFile at `path` would throw, so that the user learns of it
// before the work is done. Leaves no file behind.
void CheckCanWrite(const std::string& path);

// Creates a folder and its parents; existing ones are no error.
void MakeFolder(const std::string& path);

// An unused name in the folder of `path`, for a file or folder that will be renamed to it:
// `path`.XXXXXX.tmp, shortened if too long for the file system. Another process may still take the
// name, so create it exclusively.
std::string TemporaryName(const std::string& path);

}  // namespace sq
