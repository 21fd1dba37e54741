// Reads text files as UTF-8: decompresses them, converts UTF-16 and UTF-32, and validates every
// byte. A file that is not text is an error.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "sq/text/unpacked_file.h"

namespace sq {

// A text file being read. The encoding is determined by the byte order mark, which is dropped; a
// file without one is UTF-8.
class TextFile {
 public:
  // Throws the errors of UnpackedFile.
  explicit TextFile(const std::string& path);

  // Appends the next part of the text, whole characters only; returns false at the end. Throws
  // sq::Error naming the file and the offset (in the decompressed file) of an ill-formed sequence
  // or a NUL, which does not occur in text but in UTF-16 without a byte order mark.
  bool Append(std::string* text);

 private:
  enum class Encoding { kUnknown, kUtf8, kUtf16, kUtf32 };

  void FindEncoding();
  // Append the complete characters in `bytes_` and return their size in bytes. `last`: no more
  // bytes will follow.
  size_t DecodeUtf8Bytes(bool last, std::string* text) const;
  size_t DecodeUnits(bool last, std::string* text) const;
  uint32_t Unit(size_t at) const;
  [[noreturn]] void Refuse(size_t at, const std::string& reason) const;

  UnpackedFile file_;
  std::string path_;
  Encoding encoding_ = Encoding::kUnknown;
  bool big_endian_ = false;
  std::string bytes_;   // read but not decoded yet
  int64_t offset_ = 0;  // of the first of them in the file
};

// The whole text of a file. Also throws sq::Error when it is larger than `max_bytes`.
std::string ReadText(const std::string& path, int64_t max_bytes);

// Calls `visit(line, number)` for each line of the text at `path`, numbered from 1 and without its
// line feed, which the last line need not have. A line is valid only during the call. Also throws
// sq::Error for a line of more than 1 GiB.
void ForEachLine(const std::string& path,
                 const std::function<void(std::string_view, int64_t)>& visit);

}  // namespace sq
