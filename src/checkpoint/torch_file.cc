#include "sq/checkpoint/torch_file.h"

#include <cstring>
#include <functional>
#include <string_view>

#include "sq/base/error.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/checkpoint/pickle.h"
#include "sq/checkpoint/zip_archive.h"

namespace sq {
namespace {

// The tensors of `dict` as views of the mapped file; `place` tells where a storage lies.
TorchFile Views(const PickledDict& dict, const std::shared_ptr<const MappedFile>& file,
                const std::function<ZipRecord(const std::string&)>& place) {
  const std::string& path = file->path();
  std::map<std::string, ZipRecord> places;
  for (const auto& [key, storage] : dict.storages) {
    const ZipRecord found = place(key);
    const int64_t expected = CheckedMultiply(storage.elements, DTypeBytes(storage.dtype), path);
    SQ_CHECK(expected <= found.bytes, path, ": storage ", key, ": expected ", expected,
             " bytes, found ", found.bytes);
    places[key] = found;
  }
  TorchFile opened;
  opened.integers = dict.integers;
  for (const PickledTensor& tensor : dict.tensors) {
    const int64_t size = DTypeBytes(tensor.dtype);
    const int64_t offset = places[tensor.storage].offset + tensor.storage_offset * size;
    const int64_t bytes = ElementCount(tensor.shape, path) * size;
    opened.tensors.push_back({tensor.name, tensor.dtype, tensor.shape, file, offset, bytes, {}});
    if (!tensor.strides.empty()) {
      opened.tensors.back().copy =
          std::make_shared<StridedCopy>(file, offset, size, tensor.shape, tensor.strides);
    }
  }
  return opened;
}

// A zip archive with the pickle and a record for each storage, all in one folder.
TorchFile ReadArchive(const std::shared_ptr<const MappedFile>& file) {
  const std::string& path = file->path();
  std::string folder;
  const std::map<std::string, ZipRecord> records = ReadZipDirectory(*file, &folder);
  folder.resize(folder.find('/') == std::string::npos ? 0 : folder.find('/') + 1);
  const auto find = [&](const std::string& name) {
    const auto record = records.find(folder + name);
    SQ_CHECK(record != records.end(), path, ": record ", Quoted(folder + name), " is missing");
    return record->second;
  };
  if (records.count(folder + "byteorder") > 0) {
    const ZipRecord order = find("byteorder");
    const std::string_view text(reinterpret_cast<const char*>(file->data()) + order.offset,
                                static_cast<size_t>(order.bytes));
    SQ_CHECK(text == "little", path, ": byte order not supported: expected \"little\", found ",
             Quoted(text));
  }
  const ZipRecord pickle = find("data.pkl");
  int64_t used = 0;
  const PickledDict dict =
      ParsePickledDict(file->data() + pickle.offset, pickle.bytes, path, &used);
  return Views(dict, file, [&](const std::string& key) { return find("data/" + key); });
}

// What the pickle of torch.serialization.MAGIC_NUMBER holds, with which a file of before torch 1.6
// begins: LONG1, its 10 bytes, STOP.
constexpr uint8_t kLegacyMagic[] = {0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                    0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

// The length of that pickle, of protocol 2 to 5, at the file's beginning; 0 if it is not there.
int64_t LegacyMagicBytes(const MappedFile& file) {
  constexpr int64_t kMagic = sizeof kLegacyMagic, kProtocol = 2, kFrame = 9;
  for (const int64_t begin : {kProtocol, kProtocol + kFrame}) {
    if (file.size() >= begin + kMagic && file.data()[0] == 0x80 &&
        (begin == kProtocol || file.data()[kProtocol] == 0x95) &&
        std::memcmp(file.data() + begin, kLegacyMagic, kMagic) == 0) {
      return begin + kMagic;
    }
  }
  return 0;
}

// Pickles one after another: magic number, protocol, sizes of the writer's machine, the dictionary,
// the storages' keys; then for each storage its number of elements and its bytes.
TorchFile ReadLegacy(const std::shared_ptr<const MappedFile>& file) {
  const std::string& path = file->path();
  int64_t at = LegacyMagicBytes(*file), used = 0;
  for (int skipped = 0; skipped < 2; ++skipped) {
    at += PickleLength(file->data() + at, file->size() - at, path);
  }
  const PickledDict dict = ParsePickledDict(file->data() + at, file->size() - at, path, &used);
  at += used;
  const std::vector<std::string> keys =
      ParsePickledNames(file->data() + at, file->size() - at, path, &used);
  at += used;
  std::map<std::string, ZipRecord> places;
  for (const std::string& key : keys) {
    const auto storage = dict.storages.find(key);
    SQ_CHECK(storage != dict.storages.end(), path, ": storage ", key, " belongs to no tensor");
    int64_t elements = 0;
    SQ_CHECK(file->size() - at >= 8, path, ": truncated: storage ", key, " is missing");
    std::memcpy(&elements, file->data() + at, 8);
    at += 8;
    SQ_CHECK(elements >= 0, path, ": storage ", key, ": size ", elements);
    const int64_t bytes = CheckedMultiply(elements, DTypeBytes(storage->second.dtype), path);
    SQ_CHECK(bytes <= file->size() - at, path, ": truncated: storage ", key, " of ", bytes,
             " bytes ends outside the file");
    places[key] = {at, bytes};
    at += bytes;
  }
  return Views(dict, file, [&](const std::string& key) {
    const auto found = places.find(key);
    SQ_CHECK(found != places.end(), path, ": storage ", key, " is missing");
    return found->second;
  });
}

}  // namespace

TorchFile OpenTorchFile(const std::string& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  if (LegacyMagicBytes(*file) > 0) return ReadLegacy(file);
  SQ_CHECK(file->size() >= 4 && std::memcmp(file->data(), "PK\x03\x04", 4) == 0, path,
           ": not a PyTorch file: neither a zip archive nor the stream of before torch 1.6");
  return ReadArchive(file);
}

}  // namespace sq
