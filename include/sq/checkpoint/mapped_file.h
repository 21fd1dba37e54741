// A file mapped into memory for reading.
#pragma once

#include <cstdint>
#include <string>

namespace sq {

// Owns the mapping. A file that is cut while it is mapped ends the process: see ExplainBusErrors.
class MappedFile {
 public:
  // Throws sq::Error naming the file, also when it is none of its own (see base/placeholder.h).
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  const uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }

  // Gives the pages wholly inside [offset, offset + bytes) back to the system; they are read again
  // from the file when touched. Keeps the resident memory of a large model to what is in use.
  void Release(int64_t offset, int64_t bytes) const;

 private:
  void Unmap();

  std::string path_;
  const uint8_t* data_ = nullptr;
  int64_t size_ = 0;
};

// From now on a mapped file that can no longer be read, because it was cut or its disk failed, ends
// the process with 1 and a line that names it, and not with a bare signal. For programs, not for
// libraries.
void ExplainBusErrors();

}  // namespace sq
