// Zip archives put together by hand, as torch.save writes them or otherwise.
#pragma once

#include <zlib.h>

#include <string>
#include <vector>

#include "tests/support/pickle_bytes.h"

namespace sq::test {

struct ZipRecord {
  std::string name;  // with the archive's folder: "archive/data.pkl"
  std::string bytes;
  bool compressed = false;
};

inline std::string Deflated(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// Layout: PKWARE's APPNOTE, sections 4.3.7, 4.3.12 and 4.3.16.
inline std::string ZipBytes(const std::vector<ZipRecord>& records) {
  using pickle::Little;
  std::string files, directory;
  for (const ZipRecord& record : records) {
    const std::string stored = record.compressed ? Deflated(record.bytes) : record.bytes;
    const auto* data = reinterpret_cast<const Bytef*>(record.bytes.data());
    const std::string common = Little(0, 2) + Little(record.compressed ? 8 : 0, 2) + Little(0, 4) +
                               Little(crc32(0, data, static_cast<uInt>(record.bytes.size())), 4) +
                               Little(stored.size(), 4) + Little(record.bytes.size(), 4) +
                               Little(record.name.size(), 2) + Little(0, 2);
    directory += "PK\x01\x02" + Little(20, 2) + Little(20, 2) + common + Little(0, 10) +
                 Little(files.size(), 4) + record.name;
    files += "PK\x03\x04" + Little(20, 2) + common + record.name + stored;
  }
  const std::string end = "PK\x05\x06" + Little(0, 4) + Little(records.size(), 2) +
                          Little(records.size(), 2) + Little(directory.size(), 4) +
                          Little(files.size(), 4) + Little(0, 2);
  return files + directory + end;
}

}  // namespace sq::test
