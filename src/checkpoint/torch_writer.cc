#include "sq/checkpoint/torch_writer.h"

#include <ATen/core/ivalue.h>
#include <ATen/ops/from_blob.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include <algorithm>

#include "sq/base/error.h"
#include "sq/base/output_file.h"

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

at::Tensor Wrap(const TensorView& view) {
  const auto found = std::find_if(std::begin(kDTypes), std::end(kDTypes),
                                  [&](const DTypePair& pair) { return pair.ours == view.dtype; });
  SQ_CHECK(found != std::end(kDTypes), "tensor ", view.name, ": type ", DTypeName(view.dtype),
           " has no counterpart in LibTorch");
  return at::from_blob(const_cast<void*>(view.data), view.shape, found->torch);
}

}  // namespace

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
