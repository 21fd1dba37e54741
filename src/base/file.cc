#include "sq/base/file.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "sq/base/error.h"

namespace sq {

std::string ReadFile(const std::string& path, int64_t max_bytes) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  SQ_CHECK(status.type() != std::filesystem::file_type::not_found, path, ": no such file");
  SQ_CHECK(!error, path, ": ", error.message());
  SQ_CHECK(std::filesystem::is_regular_file(status), path, ": not a regular file");
  const auto size = static_cast<int64_t>(std::filesystem::file_size(path, error));
  SQ_CHECK(!error, path, ": ", error.message());
  SQ_CHECK(size <= max_bytes, path, ": ", size, " bytes, expected at most ", max_bytes);
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  SQ_CHECK(in, path, ": cannot be opened: ", std::strerror(errno));
  std::string bytes(static_cast<size_t>(size), '\0');
  in.read(bytes.data(), size);
  SQ_CHECK(in.gcount() == size, path, ": expected ", size, " bytes, read ", in.gcount());
  return bytes;
}

}  // namespace sq
