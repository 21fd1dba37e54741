#include "sq/checkpoint/torch_file.h"

#include <ATen/core/ivalue.h>
#include <ATen/ops/from_blob.h>
#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <string_view>

#include "sq/base/error.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/checkpoint/pickle.h"

namespace sq {
namespace {

struct DTypePair {
  at::ScalarType torch;
  DType ours;
};
constexpr DTypePair kDTypes[] = {
    {at::kBool, DType::kBool},  {at::kByte, DType::kU8},       {at::kChar, DType::kI8},
    {at::kShort, DType::kI16},  {at::kInt, DType::kI32},       {at::kLong, DType::kI64},
    {at::kHalf, DType::kF16},   {at::kBFloat16, DType::kBF16}, {at::kFloat, DType::kF32},
    {at::kDouble, DType::kF64},
};

// LibTorch's messages go on for lines; the first says what is wrong.
std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

class MappedReader : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit MappedReader(std::shared_ptr<const MappedFile> file) : file_(std::move(file)) {}
  size_t size() const override { return static_cast<size_t>(file_->size()); }
  size_t read(uint64_t at, void* to, size_t count, const char*) const override {
    if (at >= size()) return 0;
    count = std::min(count, size() - static_cast<size_t>(at));
    std::memcpy(to, file_->data() + at, count);
    return count;
  }

 private:
  std::shared_ptr<const MappedFile> file_;
};

// Where the bytes of a storage lie in the file.
struct Place {
  int64_t offset, bytes;
};

// The tensors of `dict` as views of the mapped file; `place` tells where a storage lies.
TorchFile Views(const PickledDict& dict, const std::shared_ptr<const MappedFile>& file,
                const std::function<Place(const std::string&)>& place) {
  const std::string& path = file->path();
  std::map<std::string, Place> places;
  for (const auto& [key, storage] : dict.storages) {
    const Place found = place(key);
    SQ_CHECK(found.offset >= 0 && found.bytes >= 0 && found.offset <= file->size() &&
                 found.bytes <= file->size() - found.offset,
             path, ": truncated: storage ", key, " of ", found.bytes,
             " bytes ends outside the file");
    const int64_t expected = CheckedMultiply(storage.elements, DTypeBytes(storage.dtype), path);
    SQ_CHECK(expected <= found.bytes, path, ": storage ", key, ": expected ", expected,
             " bytes, found ", found.bytes);
    places[key] = found;
  }
  TorchFile read;
  read.path = path;
  read.integers = dict.integers;
  read.memory = file;
  for (const PickledTensor& tensor : dict.tensors) {
    const int64_t size = DTypeBytes(tensor.dtype);
    const int64_t offset = places[tensor.storage].offset + tensor.storage_offset * size;
    read.tensors.push_back({tensor.name, tensor.dtype, tensor.shape, file->data() + offset,
                            ElementCount(tensor.shape, path) * size});
  }
  return read;
}

using Archive = caffe2::serialize::PyTorchStreamReader;

// Where a record's bytes lie as they are: its own header, bytes 8 and 9, tells the method of
// compression.
Place FindRecord(Archive& archive, const MappedFile& file, const std::string& name) {
  const std::string where = StrCat(file.path(), ": record ", name);
  SQ_CHECK(archive.hasRecord(name), where, " is missing");
  const auto check_inside = [&](const Place& place) {
    SQ_CHECK(place.offset >= 0 && place.bytes >= 0 && place.offset <= file.size() &&
                 place.bytes <= file.size() - place.offset,
             where, ": truncated: ", place.bytes, " bytes from byte ", place.offset,
             " on end outside the file");
  };
  const Place header{static_cast<int64_t>(archive.getRecordHeaderOffset(name)), 10};
  check_inside(header);
  const uint8_t* method = file.data() + header.offset + 8;
  SQ_CHECK(method[0] == 0 && method[1] == 0, where, ": is compressed");
  const Place record{static_cast<int64_t>(archive.getRecordOffset(name)),
                     static_cast<int64_t>(archive.getRecordSize(name))};
  check_inside(record);
  return record;
}

// A zip archive with the pickle and a record for each storage.
TorchFile ReadArchive(const std::shared_ptr<const MappedFile>& file) {
  Archive archive(std::make_shared<MappedReader>(file));
  const std::string& path = file->path();
  if (archive.hasRecord("byteorder")) {
    const Place order = FindRecord(archive, *file, "byteorder");
    const std::string_view text(reinterpret_cast<const char*>(file->data()) + order.offset,
                                static_cast<size_t>(order.bytes));
    SQ_CHECK(text == "little", path, ": byte order not supported: expected \"little\", found ",
             Quoted(text));
  }
  const Place pickle = FindRecord(archive, *file, "data.pkl");
  int64_t used = 0;
  const PickledDict dict =
      ParsePickledDict(file->data() + pickle.offset, pickle.bytes, path, &used);
  return Views(dict, file,
               [&](const std::string& key) { return FindRecord(archive, *file, "data/" + key); });
}

// The pickle of torch.serialization.MAGIC_NUMBER, with which a file of before torch 1.6 begins.
constexpr uint8_t kLegacyMagic[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                    0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};

bool IsLegacy(const MappedFile& file) {
  return file.size() >= static_cast<int64_t>(sizeof kLegacyMagic) &&
         std::memcmp(file.data(), kLegacyMagic, sizeof kLegacyMagic) == 0;
}

// Pickles one after another: magic number, protocol, sizes of the writer's machine, the dictionary,
// the storages' keys; then for each storage its number of elements and its bytes.
TorchFile ReadLegacy(const std::shared_ptr<const MappedFile>& file) {
  const std::string& path = file->path();
  int64_t at = sizeof kLegacyMagic, used = 0;
  for (int skipped = 0; skipped < 2; ++skipped) {
    at += PickleLength(file->data() + at, file->size() - at, path);
  }
  const PickledDict dict = ParsePickledDict(file->data() + at, file->size() - at, path, &used);
  at += used;
  const std::vector<std::string> keys =
      ParsePickledNames(file->data() + at, file->size() - at, path, &used);
  at += used;
  std::map<std::string, Place> places;
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

at::Tensor Wrap(const TensorView& view) {
  const auto found = std::find_if(std::begin(kDTypes), std::end(kDTypes),
                                  [&](const DTypePair& pair) { return pair.ours == view.dtype; });
  SQ_CHECK(found != std::end(kDTypes), "tensor ", view.name, ": type ", DTypeName(view.dtype),
           " has no counterpart in LibTorch");
  return at::from_blob(const_cast<void*>(view.data), view.shape, found->torch);
}

}  // namespace

TorchFile ReadTorchFile(const std::string& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  if (IsLegacy(*file)) return ReadLegacy(file);
  SQ_CHECK(file->size() >= 4 && std::memcmp(file->data(), "PK\x03\x04", 4) == 0, path,
           ": not a .pt file: neither a zip archive nor the stream of before torch 1.6");
  try {
    return ReadArchive(file);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(StrCat(path, ": cannot read as a .pt file: ", FirstLine(error.what())));
  }
}

void WriteTorchFile(const std::string& path, const std::vector<TensorView>& tensors,
                    const std::map<std::string, int64_t>& integers) {
  c10::impl::GenericDict dict(c10::StringType::get(), c10::AnyType::get());
  for (const TensorView& view : tensors) dict.insert(view.name, Wrap(view));
  for (const auto& [name, value] : integers) dict.insert(name, value);
  OutputFile file(path);
  std::exception_ptr failure;
  try {
    // The archive's destructor ends the process when it cannot close the archive. So once a write
    // has failed (a full disk, say) what follows goes nowhere and counts as written.
    caffe2::serialize::PyTorchStreamWriter archive([&](const void* data, size_t size) -> size_t {
      try {
        if (!failure) file.Write(data, static_cast<int64_t>(size));
      } catch (...) {
        failure = std::current_exception();
      }
      return size;
    });
    std::string pickle;
    // Without type tags, which torch.load refuses by default.
    torch::jit::Pickler pickler([&](const char* data, size_t size) { pickle.append(data, size); },
                                nullptr, nullptr, nullptr, nullptr, /*tag_aggregates=*/false);
    pickler.protocol();
    pickler.pushIValue(dict);
    pickler.stop();
    archive.writeRecord("data.pkl", pickle.data(), pickle.size());
    size_t number = 0;
    for (const at::Tensor& tensor : pickler.tensorData()) {
      if (failure) break;
      archive.writeRecord("data/" + std::to_string(number++), tensor.const_data_ptr(),
                          tensor.nbytes());
    }
    archive.writeEndOfFile();
  } catch (const std::exception& error) {
    throw Error(StrCat(path, ": cannot write: ", FirstLine(error.what())));
  }
  if (failure) std::rethrow_exception(failure);
  file.Commit();
}

}  // namespace sq
