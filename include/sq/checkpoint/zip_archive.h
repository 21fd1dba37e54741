// Where the records of a zip archive lie. Only archives without compression are of use here: their
// records are read as they lie in the mapped file. (Debian's minizip cannot reach records past
// 4 GiB, and libzip does not tell where a record lies.)
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "sq/checkpoint/mapped_file.h"

namespace sq {

struct ZipRecord {
  int64_t offset;  // of its bytes in the file
  int64_t bytes;
};

// The archive's records by name, those past 4 GiB too; `first` is set to the name of the first.
// Throws sq::Error naming the file, and the record where one is at fault: no archive, a record that
// is compressed or encrypted, lies outside the file, or has the name of another. Cost: one pass
// over the directory and a look at each record's header.
std::map<std::string, ZipRecord> ReadZipDirectory(const MappedFile& file, std::string* first);

}  // namespace sq
