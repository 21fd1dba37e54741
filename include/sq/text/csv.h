// Comma-separated values, parsed like Python's csv module, which the files were written with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sq {

struct CsvRow {
  int64_t line = 0;  // of the file where the row begins, from 1
  std::vector<std::string> fields;
};

// The rows of the text file `path` (see TextFile): those of csv.reader(open(path,
// encoding="utf-8-sig", newline="")) except that blank lines are skipped. A row ends with \n, \r\n
// or \r. A field that begins with a quote may contain commas, line breaks and doubled quotes; text
// after its closing quote is appended unchanged, and without a closing quote it extends to the end
// of the file. Any other quote is an ordinary character. Throws sq::Error naming the file when it
// cannot be read.
std::vector<CsvRow> ReadCsv(const std::string& path);

}  // namespace sq
