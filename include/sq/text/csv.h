// Comma-separated values as Python's csv reader takes them, by which such files are read and made.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sq {

struct CsvRow {
  int64_t line = 0;  // of the file where the row begins, from 1
  std::vector<std::string> fields;
};

// The rows of the text at `path` (see TextFile), the same as csv.reader gives for
// open(path, encoding="utf-8-sig", newline=""), but that blank lines count for nothing. A row ends
// with \n, \r\n or \r. A field that begins with a quote may hold commas, line breaks and quotes
// (doubled); what stands behind its closing quote belongs to it as it is, and one that is never
// closed goes on to the file's end. Any other quote is a character like others. Throws sq::Error
// naming the file when it cannot be read.
std::vector<CsvRow> ReadCsv(const std::string& path);

}  // namespace sq
