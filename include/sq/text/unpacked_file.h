// A file's bytes, unpacked where gzip or zstd packed them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace sq {

// A file being read from its beginning. What it begins with decides, not its name: gzip's members
// and zstd's frames are unpacked, one after the other; zeros behind a gzip member are padding, as
// they are to gzip itself. Anything else behind one, data that end early and damage are errors.
class UnpackedFile {
 public:
  // Throws sq::Error naming the file when it cannot be read, is not a regular file, is none of its
  // own (see base/placeholder.h), or is empty under a name that ends in .gz or .zst.
  explicit UnpackedFile(const std::string& path);
  ~UnpackedFile();
  UnpackedFile(const UnpackedFile&) = delete;
  UnpackedFile& operator=(const UnpackedFile&) = delete;

  // Reads up to `size` (at least 1) bytes into `to`; fewer may come before the end, at which 0 do.
  // Throws sq::Error naming the file and a byte of it.
  size_t Read(char* to, size_t size);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// `name` without the .gz or .zst that it ends in, in any case.
std::string UnpackedName(const std::string& name);

}  // namespace sq
