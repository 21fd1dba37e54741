// Reads files, decompressing gzip and zstd.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace sq {

// A file being read from its start. The format is recognized by content, not by name. All gzip
// members or zstd frames of a file are decompressed; zeros after a gzip member are padding, as in
// gzip itself. Other trailing data, truncation and damage are errors.
class UnpackedFile {
 public:
  // Throws sq::Error naming the file when it cannot be read, is not a regular file, is a
  // placeholder (base/placeholder.h), or is empty although named .gz or .zst.
  explicit UnpackedFile(const std::string& path);
  ~UnpackedFile();
  UnpackedFile(const UnpackedFile&) = delete;
  UnpackedFile& operator=(const UnpackedFile&) = delete;

  // Reads up to `size` (at least 1) bytes into `to` and returns their number: possibly fewer than
  // `size`, 0 only at the end. Throws sq::Error naming the file and an offset in it.
  size_t Read(char* to, size_t size);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// `name` without a trailing .gz or .zst, case-insensitive.
std::string UnpackedName(const std::string& name);

}  // namespace sq
