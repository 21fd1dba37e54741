#include "sq/checkpoint/zip_archive.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "sq/base/error.h"

// Numbers of sections are those of PKWARE's APPNOTE.TXT 6.3.10.

namespace sq {
namespace {

constexpr int64_t kEndBytes = 22, kEnd64Bytes = 56, kLocatorBytes = 20;  // 4.3.16, 4.3.14, 4.3.15
constexpr int64_t kEntryBytes = 46, kLocalBytes = 30;                    // 4.3.12, 4.3.7
constexpr int64_t kMaxComment = 65535;
constexpr uint64_t kElsewhere16 = 0xffff, kElsewhere32 = 0xffffffff;  // the value has 64 bits

// The file's bytes under bounds checks.
class Bytes {
 public:
  explicit Bytes(const MappedFile& file) : file_(file) {}

  void Check(bool condition, const char* problem) const {
    SQ_CHECK(condition, file_.path(), ": damaged or truncated archive: ", problem);
  }

  // A number of `size` bytes, little-endian.
  uint64_t Number(int64_t at, int size) const {
    const uint8_t* bytes = At(at, size);
    uint64_t value = 0;
    for (int i = 0; i < size; ++i) value |= static_cast<uint64_t>(bytes[i]) << 8 * i;
    return value;
  }

  // An offset or size.
  int64_t Size(int64_t at, int size) const {
    const uint64_t value = Number(at, size);
    Check(value <= static_cast<uint64_t>(file_.size()), "a size beyond the file's");
    return static_cast<int64_t>(value);
  }

  std::string Text(int64_t at, int64_t size) const {
    return std::string(reinterpret_cast<const char*>(At(at, size)), static_cast<size_t>(size));
  }

  bool Is(int64_t at, const char* signature) const {
    return at >= 0 && at <= file_.size() - 4 && std::memcmp(At(at, 4), signature, 4) == 0;
  }

 private:
  const uint8_t* At(int64_t at, int64_t size) const {
    Check(at >= 0 && size >= 0 && at <= file_.size() && size <= file_.size() - at,
          "something lies outside the file");
    return file_.data() + at;
  }

  const MappedFile& file_;
};

struct Directory {
  uint64_t records;
  int64_t offset;
};

Directory FindDirectory(const Bytes& bytes, int64_t file_size) {
  int64_t end = file_size - kEndBytes;
  const int64_t first = std::max<int64_t>(0, end - kMaxComment);
  while (end >= first &&
         !(bytes.Is(end, "PK\5\6") &&
           end + kEndBytes + static_cast<int64_t>(bytes.Number(end + 20, 2)) == file_size)) {
    --end;
  }
  bytes.Check(end >= first, "its directory is missing");
  const uint64_t records = bytes.Number(end + 10, 2), offset = bytes.Number(end + 16, 4);
  if (records != kElsewhere16 && offset != kElsewhere32) {
    return {records, bytes.Size(end + 16, 4)};
  }
  bytes.Check(bytes.Is(end - kLocatorBytes, "PK\6\7"), "its 64-bit directory is missing");
  const int64_t end64 = bytes.Size(end - kLocatorBytes + 8, 8);
  bytes.Check(bytes.Is(end64, "PK\6\6"), "its 64-bit directory is missing");
  return {bytes.Number(end64 + 32, 8), bytes.Size(end64 + kEnd64Bytes - 8, 8)};
}

// The values that take 64 bits of an entry's extra fields (4.5.3), in place of those that say so.
void ReadWide(const Bytes& bytes, int64_t at, int64_t size, const std::vector<uint64_t*>& values) {
  const int64_t end = at + size;
  while (end - at >= 4) {
    const uint64_t id = bytes.Number(at, 2);
    const int64_t field = at + 4, field_end = field + static_cast<int64_t>(bytes.Number(at + 2, 2));
    bytes.Check(field_end <= end, "an extra field that is too long");
    at = field_end;
    if (id != 1) continue;
    int64_t next = field;
    for (uint64_t* value : values) {
      if (*value != kElsewhere32) continue;
      bytes.Check(next + 8 <= field_end, "a 64-bit size is missing");
      *value = bytes.Number(next, 8);
      next += 8;
    }
  }
}

}  // namespace

std::map<std::string, ZipRecord> ReadZipDirectory(const MappedFile& file, std::string* first) {
  const Bytes bytes(file);
  const Directory directory = FindDirectory(bytes, file.size());
  std::map<std::string, ZipRecord> records;
  int64_t entry = directory.offset;
  for (uint64_t i = 0; i < directory.records; ++i) {
    bytes.Check(bytes.Is(entry, "PK\1\2"), "its directory ends early");
    const uint64_t flags = bytes.Number(entry + 8, 2), method = bytes.Number(entry + 10, 2);
    uint64_t stored = bytes.Number(entry + 20, 4), size = bytes.Number(entry + 24, 4);
    uint64_t header = bytes.Number(entry + 42, 4);
    const int64_t name_bytes = bytes.Size(entry + 28, 2), extra_bytes = bytes.Size(entry + 30, 2);
    const std::string name = bytes.Text(entry + kEntryBytes, name_bytes);
    ReadWide(bytes, entry + kEntryBytes + name_bytes, extra_bytes, {&size, &stored, &header});
    entry += kEntryBytes + name_bytes + extra_bytes + bytes.Size(entry + 32, 2);

    const std::string where = StrCat(file.path(), ": record ", Quoted(name));
    SQ_CHECK(method == 0, where, ": is compressed");
    SQ_CHECK((flags & 1) == 0, where, ": is encrypted");
    const uint64_t file_size = static_cast<uint64_t>(file.size());
    SQ_CHECK(header <= file_size && bytes.Is(static_cast<int64_t>(header), "PK\3\4"), where,
             ": its header is not where the directory says");
    const int64_t local = static_cast<int64_t>(header);
    const int64_t offset =
        local + kLocalBytes + bytes.Size(local + 26, 2) + bytes.Size(local + 28, 2);
    SQ_CHECK(stored == size && offset <= file.size() &&
                 size <= file_size - static_cast<uint64_t>(offset),
             where, ": truncated: ", size, " bytes from byte ", offset, " on end outside the file");
    SQ_CHECK(records.emplace(name, ZipRecord{offset, static_cast<int64_t>(size)}).second, where,
             ": is there twice");
    if (i == 0) *first = name;
  }
  return records;
}

}  // namespace sq
