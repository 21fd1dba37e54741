#include "sq/checkpoint/torch_file.h"

#include <ATen/core/ivalue.h>
#include <ATen/ops/from_blob.h>
#include <caffe2/serialize/inline_container.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/serialization/pickler.h>
#include <torch/csrc/jit/serialization/unpickler.h>

#include <algorithm>
#include <cstring>

#include "sq/base/error.h"
#include "sq/base/output_file.h"
#include "sq/checkpoint/mapped_file.h"

namespace sq {
namespace {

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

c10::IValue Unpickle(const std::shared_ptr<const MappedFile>& file) {
  const std::string& path = file->path();
  caffe2::serialize::PyTorchStreamReader archive(std::make_shared<MappedReader>(file));
  const auto [pickle, pickle_size] = archive.getRecord("data.pkl");
  size_t read = 0;
  const char* begin = static_cast<const char*>(pickle.get());
  const size_t size = pickle_size;
  const auto next = [&](char* to, size_t count) {
    count = std::min(count, size - read);
    std::memcpy(to, begin + read, count);
    read += count;
    return count;
  };
  // A record's bytes are handed out where they lie in the mapped file.
  const auto record = [&](const std::string& name) {
    const std::string full = "data/" + name;
    SQ_CHECK(archive.hasRecord(full), path, ": record ", full, " is missing");
    const int64_t offset = static_cast<int64_t>(archive.getRecordOffset(full));
    const int64_t bytes = static_cast<int64_t>(archive.getRecordSize(full));
    SQ_CHECK(offset >= 0 && bytes >= 0 && offset <= file->size() && bytes <= file->size() - offset,
             path, ": truncated: record ", full, " of ", bytes, " bytes ends outside the file");
    return at::DataPtr(const_cast<uint8_t*>(file->data()) + offset, at::kCPU);
  };
  torch::jit::Unpickler unpickler(next, nullptr, nullptr, record, std::nullopt);
  return unpickler.parse_ivalue();
}

TensorView View(const std::string& name, const at::Tensor& tensor, const MappedFile& file) {
  const std::string where = file.path() + ": tensor " + name;
  SQ_CHECK(tensor.layout() == at::kStrided && tensor.is_contiguous(), where,
           ": expected a contiguous dense tensor");
  const auto found = std::find_if(std::begin(kDTypes), std::end(kDTypes), [&](const DTypePair& pair) {
    return pair.torch == tensor.scalar_type();
  });
  SQ_CHECK(found != std::end(kDTypes), where, ": type ", c10::toString(tensor.scalar_type()),
           " is not supported");
  TensorView view{name, found->ours, tensor.sizes().vec(), tensor.const_data_ptr(), 0};
  view.bytes = CheckedMultiply(ElementCount(view.shape, where), DTypeBytes(view.dtype), where);
  // The pickle states sizes of its own; what counts is that the bytes are in the file.
  const uint8_t* data = static_cast<const uint8_t*>(view.data);
  SQ_CHECK(view.bytes == 0 || (data >= file.data() && data <= file.data() + file.size() &&
                               view.bytes <= file.data() + file.size() - data),
           where, ": its data lies outside the file");
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
  c10::IValue value;
  try {
    value = Unpickle(file);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(StrCat(path, ": cannot read as a .pt file: ", FirstLine(error.what())));
  }
  SQ_CHECK(value.isGenericDict(), path, ": expected a dictionary of tensors");
  TorchFile read;
  read.path = path;
  read.memory = file;
  for (const auto& entry : value.toGenericDict()) {
    SQ_CHECK(entry.key().isString(), path, ": expected names as keys");
    const std::string& name = entry.key().toStringRef();
    if (entry.value().isTensor()) {
      read.tensors.push_back(View(name, entry.value().toTensor(), *file));
    } else {
      SQ_CHECK(entry.value().isInt(), path, ": ", name, ": expected a tensor or an integer, found ",
               entry.value().tagKind());
      read.integers[name] = entry.value().toInt();
    }
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
    caffe2::serialize::PyTorchStreamWriter archive([&](const void* data, size_t size) -> size_t {
      try {
        file.Write(data, static_cast<int64_t>(size));
      } catch (...) {
        failure = std::current_exception();  // not through the archive's C code
        return 0;
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
      archive.writeRecord("data/" + std::to_string(number++), tensor.const_data_ptr(),
                          tensor.nbytes());
    }
    archive.writeEndOfFile();
  } catch (const std::exception& error) {
    if (failure) std::rethrow_exception(failure);
    throw Error(StrCat(path, ": cannot write: ", FirstLine(error.what())));
  }
  if (failure) std::rethrow_exception(failure);
  file.Commit();
}

}  // namespace sq
