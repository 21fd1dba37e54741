// Comma-separated values as RFC 4180 describes them: a field in quotes may hold commas, line breaks
// and quotes (doubled).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sq {

struct CsvRow {
  int64_t line = 0;  // of the file where the row begins, from 1
  std::vector<std::string> fields;
};

// The rows of the file at `path`, UTF-8 with or without a byte order mark. A row ends with \n, \r\n
// or \r; blank lines count for nothing; a quote inside a field that does not begin with one is a
// character like any other, as it is to Python's csv. Throws sq::Error naming file and row for a
// file that cannot be read, bytes that are not UTF-8, a quote that is never closed, and text after
// a closing quote.
std::vector<CsvRow> ReadCsv(const std::string& path);

}  // namespace sq
