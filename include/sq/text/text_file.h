// Text files as UTF-8: unpacked, their encoding known by its byte order mark, checked to the last
// byte. What is no text is refused, never read in part.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "sq/text/unpacked_file.h"

namespace sq {

// A text being read. A byte order mark of UTF-8, UTF-16 or UTF-32 is dropped, and the text of the
// latter two converted; a file without one is UTF-8.
class TextFile {
 public:
  // Errors as UnpackedFile's.
  explicit TextFile(const std::string& path);

  // Appends some more of the text, whole characters; false, and nothing, at the end. Throws
  // sq::Error naming the file and the byte of it (unpacked) that is no text: what is not well
  // formed, and a NUL, which text has none of, but UTF-16 without a mark.
  bool Append(std::string* text);

 private:
  enum class Encoding { kUnknown, kUtf8, kUtf16, kUtf32 };

  void FindEncoding();
  // Each appends the characters that `bytes_` holds as a whole and returns their bytes; with
  // `last`, nothing more is to come.
  size_t DecodeUtf8Bytes(bool last, std::string* text) const;
  size_t DecodeUnits(bool last, std::string* text) const;
  uint32_t Unit(size_t at) const;
  [[noreturn]] void Refuse(size_t at, const std::string& reason) const;

  UnpackedFile file_;
  std::string path_;
  Encoding encoding_ = Encoding::kUnknown;
  bool big_endian_ = false;
  std::string bytes_;   // read and not decoded yet
  int64_t offset_ = 0;  // of the first of them
};

// The whole text of the file at `path`. Throws sq::Error also when it has more than `max_bytes`.
std::string ReadText(const std::string& path, int64_t max_bytes);

// Calls `visit(line, number)` for each line of the text at `path`, numbered from 1 and without its
// line feed; a last line without one counts. A line is valid only during its call. Throws sq::Error
// also for a line of more than 1 GiB.
void ForEachLine(const std::string& path,
                 const std::function<void(std::string_view, int64_t)>& visit);

}  // namespace sq
