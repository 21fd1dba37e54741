// A file mapped into memory for reading.
#pragma once

#include <cstdint>
#include <string>

namespace sq {

// Owns the mapping. The file must not be truncated while it is mapped.
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

}  // namespace sq
