// The one place that writes outputs: into a temporary name beside the target, renamed when whole,
// so that a full disk, an error or a kill never leaves a damaged file under the final name.
#pragma once

#include <cstdint>
#include <string>

namespace sq {

// A file being written. Owns its descriptor; removed again unless Commit is reached.
class OutputFile {
 public:
  // Creates `path`.tmp (an old one is overwritten). Throws sq::Error.
  explicit OutputFile(const std::string& path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Appends. Throws sq::Error naming the file and the system's reason ("No space left on device").
  void Write(const void* data, int64_t bytes);
  // Flushes to the disk and gives the file its name. Nothing may be written after.
  void Commit();

  const std::string& path() const { return path_; }

 private:
  void WriteThrough(const void* data, int64_t bytes);

  std::string path_, temporary_;
  int descriptor_ = -1;
  std::string buffer_;  // small writes are gathered
};

// Writes a whole small file the same way.
void WriteFile(const std::string& path, const std::string& contents);

// Makes a folder and its parents; no error when it is there already.
void MakeFolder(const std::string& path);

}  // namespace sq
