#include "sq/checkpoint/pickle.h"

#include <algorithm>

#include "sq/base/error.h"
#include "sq/checkpoint/pickle_machine.h"

namespace sq {
namespace {

constexpr size_t kMaxDimensions = 64;  // PyTorch's own limit; a tuple may be named many times

using Kind = PickleValue::Kind;

struct StorageType {
  const char* name;
  DType dtype;
};
constexpr StorageType kStorageTypes[] = {
    {"torch BoolStorage", DType::kBool}, {"torch ByteStorage", DType::kU8},
    {"torch CharStorage", DType::kI8},   {"torch ShortStorage", DType::kI16},
    {"torch HalfStorage", DType::kF16},  {"torch BFloat16Storage", DType::kBF16},
    {"torch IntStorage", DType::kI32},   {"torch FloatStorage", DType::kF32},
    {"torch LongStorage", DType::kI64},  {"torch DoubleStorage", DType::kF64}};

PickledStorage ReadStorage(const PickleValue& storage, const std::string& where) {
  const std::vector<PickleValue>& items = *storage.items;
  SQ_CHECK(items[1].kind == Kind::kGlobal && items[2].kind == Kind::kString &&
               items[4].kind == Kind::kInt && items[4].integer >= 0,
           where, ": damaged pickle: expected a storage's type, key and size");
  CheckTensorName(items[2].text, where);
  // Once a storage could be a part of another.
  SQ_CHECK(items.size() == 5 || items[5].kind == Kind::kOther, where,
           ": a storage inside another is not supported");
  for (const StorageType& type : kStorageTypes) {
    if (items[1].text == type.name) return {type.dtype, items[4].integer};
  }
  throw Error(StrCat(where, ": type ", Quoted(items[1].text), " is not supported"));
}

std::vector<int64_t> Sizes(const PickleValue& tuple, const std::string& where) {
  SQ_CHECK(tuple.kind == Kind::kTuple, where, ": damaged pickle: expected a tuple of sizes");
  SQ_CHECK(tuple.items->size() <= kMaxDimensions, where, ": damaged pickle: ", tuple.items->size(),
           " dimensions");
  std::vector<int64_t> sizes;
  for (const PickleValue& size : *tuple.items) {
    SQ_CHECK(size.kind == Kind::kInt && size.integer >= 0, where,
             ": damaged pickle: expected a size");
    sizes.push_back(size.integer);
  }
  return sizes;
}

// Whether rows follow each other without gaps; where there is one element only, strides do not
// matter.
bool IsContiguous(const Shape& shape, const std::vector<int64_t>& strides) {
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

// Elements from a tensor's first to its last as they lie in the storage, gaps included.
int64_t Span(const Shape& shape, const std::vector<int64_t>& strides, const std::string& where) {
  int64_t span = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 0) return 0;
    span = CheckedAdd(span, CheckedMultiply(shape[i] - 1, strides[i], where), where);
  }
  return span;
}

PickledTensor ReadTensor(const std::string& name, const PickleValue& value, const std::string& path,
                         PickledDict* dict) {
  const std::string where = path + ": tensor " + name;
  const std::vector<PickleValue>& items = *value.items;
  SQ_CHECK(items.size() >= 4 && items[0].kind == Kind::kStorage && items[1].kind == Kind::kInt,
           where, ": damaged pickle: expected a tensor's storage, offset, shape and strides");
  const PickledStorage storage = ReadStorage(items[0], where);
  PickledTensor tensor{name,
                       storage.dtype,
                       Sizes(items[2], where),
                       Sizes(items[3], where),
                       std::string((*items[0].items)[2].text),
                       items[1].integer};
  SQ_CHECK(tensor.shape.size() == tensor.strides.size(), where,
           ": damaged pickle: ", tensor.shape.size(), " sizes but ", tensor.strides.size(),
           " strides");
  const int64_t count = ElementCount(tensor.shape, where);
  const int64_t span = Span(tensor.shape, tensor.strides, where);
  // No more elements than the storage has, so that a small file cannot ask for a large copy.
  SQ_CHECK(tensor.storage_offset >= 0 && tensor.storage_offset <= storage.elements &&
               std::max(count, span) <= storage.elements - tensor.storage_offset,
           where, ": expected ", std::max(count, span), " elements from element ",
           tensor.storage_offset, " on, found a storage of ", storage.elements);
  if (count == 0 || IsContiguous(tensor.shape, tensor.strides)) tensor.strides.clear();
  const auto [known, added] = dict->storages.emplace(tensor.storage, storage);
  SQ_CHECK(
      added || (known->second.dtype == storage.dtype && known->second.elements == storage.elements),
      where, ": its storage ", tensor.storage, " is described in two ways");
  return tensor;
}

}  // namespace

PickledDict ParsePickledDict(const uint8_t* data, int64_t size, const std::string& path,
                             int64_t* used) {
  PickleMachine machine(data, size, path);
  const PickleValue top = machine.Run();
  *used = machine.used();
  SQ_CHECK(top.kind == Kind::kDict, path, ": expected a dictionary of tensors, found ",
           KindName(top.kind));
  PickledDict dict;
  for (size_t i = 0; i < top.items->size(); i += 2) {
    const PickleValue &key = (*top.items)[i], &value = (*top.items)[i + 1];
    SQ_CHECK(key.kind == Kind::kString, path, ": expected names as keys, found ",
             KindName(key.kind));
    CheckTensorName(key.text, path);
    const std::string name(key.text);
    if (value.kind == Kind::kTensor) {
      dict.tensors.push_back(ReadTensor(name, value, path, &dict));
    } else {
      SQ_CHECK(value.kind == Kind::kInt, path, ": ", name,
               ": expected a tensor or an integer, found ", KindName(value.kind));
      dict.integers[name] = value.integer;
    }
  }
  return dict;
}

std::vector<std::string> ParsePickledNames(const uint8_t* data, int64_t size,
                                           const std::string& path, int64_t* used) {
  PickleMachine machine(data, size, path);
  const PickleValue top = machine.Run();
  *used = machine.used();
  SQ_CHECK(top.kind == Kind::kList, path, ": expected a list of storages, found ",
           KindName(top.kind));
  std::vector<std::string> names;
  for (const PickleValue& name : *top.items) {
    SQ_CHECK(name.kind == Kind::kString, path, ": expected the name of a storage, found ",
             KindName(name.kind));
    CheckTensorName(name.text, path);
    names.emplace_back(name.text);
  }
  return names;
}

int64_t PickleLength(const uint8_t* data, int64_t size, const std::string& path) {
  PickleMachine machine(data, size, path);
  machine.Run();
  return machine.used();
}

}  // namespace sq
