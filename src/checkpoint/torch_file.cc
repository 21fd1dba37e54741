#include "sq/checkpoint/torch_file.h"

#include <ATen/core/ivalue.h>
#include <ATen/ops/from_blob.h>
#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include <algorithm>
#include <cstring>

#include "sq/base/error.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"
#include "sq/checkpoint/state_dict.h"

namespace sq {
namespace {

using Archive = caffe2::serialize::PyTorchStreamReader;

struct DTypePair {
  at::ScalarType torch;
  DType ours;
};
constexpr DTypePair kDTypes[] = {
    {at::kBool, DType::kBool},     {at::kByte, DType::kU8},   {at::kChar, DType::kI8},
    {at::kShort, DType::kI16},     {at::kInt, DType::kI32},   {at::kLong, DType::kI64},
    {at::kHalf, DType::kF16},      {at::kBFloat16, DType::kBF16}, {at::kFloat, DType::kF32},
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

constexpr int64_t kMaxPickleBytes = 16 << 20;  // far above any model: a tensor takes about 200 bytes

// The bytes of a record where they lie in the file.
struct Record {
  const uint8_t* data = nullptr;
  int64_t bytes = 0;
};

Record FindRecord(Archive& archive, const MappedFile& file, const std::string& name) {
  const std::string where = file.path() + ": record " + name;
  SQ_CHECK(archive.hasRecord(name), where, " is missing");
  const auto inside = [&](int64_t offset, int64_t bytes) {
    SQ_CHECK(offset >= 0 && bytes >= 0 && offset <= file.size() && bytes <= file.size() - offset,
             where, ": truncated: ", bytes, " bytes at byte ", offset, " of a file of ", file.size());
  };
  // The record's own header: bytes 8 and 9 give the method, 0 for bytes as they are.
  const int64_t header = static_cast<int64_t>(archive.getRecordHeaderOffset(name));
  inside(header, 10);
  SQ_CHECK(file.data()[header + 8] == 0 && file.data()[header + 9] == 0, where, ": is compressed");
  const int64_t offset = static_cast<int64_t>(archive.getRecordOffset(name));
  const int64_t bytes = static_cast<int64_t>(archive.getRecordSize(name));
  inside(offset, bytes);
  return {file.data() + offset, bytes};
}

TensorView View(const PickledTensor& tensor, Archive& archive, const MappedFile& file) {
  const int64_t size = DTypeBytes(tensor.dtype);
  const std::string where = file.path() + ": tensor " + tensor.name;
  TensorView view{tensor.name, tensor.dtype, tensor.shape, file.data(), 0};
  view.bytes = CheckedMultiply(ElementCount(tensor.shape, where), size, where);
  if (view.bytes == 0) return view;
  const Record record = FindRecord(archive, file, "data/" + tensor.storage);
  const int64_t expected = CheckedMultiply(tensor.storage_elements, size, where);
  SQ_CHECK(record.bytes == expected, where, ": expected ", expected, " bytes in record data/",
           tensor.storage, ", found ", record.bytes);
  view.data = record.data + tensor.first * size;
  return view;
}

at::Tensor Wrap(const TensorView& view) {
  const auto found = std::find_if(std::begin(kDTypes), std::end(kDTypes), [&](const DTypePair& pair) {
    return pair.ours == view.dtype;
  });
  SQ_CHECK(found != std::end(kDTypes), "tensor ", view.name, ": type ", DTypeName(view.dtype),
           " has no counterpart in LibTorch");
  return at::from_blob(const_cast<void*>(view.data), view.shape, found->torch);
}

}  // namespace

TorchFile ReadTorchFile(const std::string& path) {
  const auto file = std::make_shared<const MappedFile>(path);
  SQ_CHECK(file->size() >= 4 && std::memcmp(file->data(), "PK\x03\x04", 4) == 0, path,
           ": not a zip archive, which torch.save writes since PyTorch 1.6");
  TorchFile read;
  read.path = path;
  read.memory = file;
  try {
    Archive archive(std::make_shared<MappedReader>(file));
    if (archive.hasRecord("byteorder")) {
      const Record order = FindRecord(archive, *file, "byteorder");
      const std::string text(reinterpret_cast<const char*>(order.data),
                             static_cast<size_t>(std::min<int64_t>(order.bytes, 16)));
      SQ_CHECK(text == "little", path, ": expected byte order little, found ", text);
    }
    const Record pickle = FindRecord(archive, *file, "data.pkl");
    SQ_CHECK(pickle.bytes <= kMaxPickleBytes, path, ": record data.pkl: ", pickle.bytes,
             " bytes, expected at most ", kMaxPickleBytes);
    StateDict dict = ParseStateDict(pickle.data, pickle.bytes, path);
    for (const PickledTensor& tensor : dict.tensors) {
      read.tensors.push_back(View(tensor, archive, *file));
    }
    read.integers = std::move(dict.integers);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(StrCat(path, ": cannot read as a .pt file: ", FirstLine(error.what())));
  }
  return read;
}

void WriteTorchFile(const std::string& path, const std::vector<TensorView>& tensors,
                    const std::map<std::string, int64_t>& integers) {
  c10::impl::GenericDict dict(c10::StringType::get(), c10::AnyType::get());
  for (const TensorView& view : tensors) dict.insert(view.name, Wrap(view));
  for (const auto& [name, value] : integers) dict.insert(name, value);
  OutputFile file(path);
  std::exception_ptr failure;
  try {
    // The archive's destructor ends the process when it cannot close the archive. So once a write has failed
    // (a full disk, say) what follows goes nowhere and counts as written.
    caffe2::serialize::PyTorchStreamWriter archive([&](const void* data, size_t size) -> size_t {
      try {
        if (!failure) file.Write(data, static_cast<int64_t>(size));
      } catch (...) {
        failure = std::current_exception();
      }
      return size;
    });
    std::string pickle;
    // Without the tags that LibTorch puts around containers: torch.load(weights_only=True) refuses them.
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
