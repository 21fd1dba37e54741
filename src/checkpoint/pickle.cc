#include "sq/checkpoint/pickle.h"

#include <cstring>
#include <deque>
#include <string_view>
#include <unordered_map>

#include "sq/base/error.h"

namespace sq {
namespace {

// A tensor takes about 200 bytes of pickle; what a pickle can take in memory is about 80 times its
// length.
constexpr int64_t kMaxPickleBytes = 16 << 20;
// Values may be named many times, so what is copied each time is short.
constexpr size_t kMaxDimensions = 64;  // PyTorch's own limit
constexpr size_t kMaxKeyBytes = 256;

enum class Kind {
  kMark,
  kOther,  // None, fractions, numbers beyond 64 bits, objects of no interest
  kInt,    // truth values too
  kString,
  kGlobal,   // text: "module name"
  kTuple,    // items
  kList,     // items
  kDict,     // items: key, value, key, value ...
  kStorage,  // items: what the file says of it
  kTensor,   // items: the arguments of its _rebuild function
};

// Refers to items and text, and owns nothing: however deep a file nests them, nothing recurses.
struct Value {
  Kind kind = Kind::kOther;
  int64_t integer = 0;
  std::string_view text;
  std::vector<Value>* items = nullptr;
};

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kInt: return "an integer";
    case Kind::kString: return "a string";
    case Kind::kGlobal: return "a class or function";
    case Kind::kTuple: return "a tuple";
    case Kind::kList: return "a list";
    case Kind::kDict: return "a dictionary";
    case Kind::kStorage: return "a storage";
    case Kind::kTensor: return "a tensor";
    case Kind::kMark:
    case Kind::kOther: break;
  }
  return "something else";
}

// Runs the opcodes of Python's pickletools that torch.save uses, protocols 2 to 5. Views of `data`
// stay valid as long as it does, items as long as the reader.
class PickleReader {
 public:
  PickleReader(const uint8_t* data, int64_t size, const std::string& path)
      : data_(reinterpret_cast<const char*>(data)), size_(size), path_(path) {}

  Value Run() {
    while (true) {
      const char opcode = *Take(1);
      if (opcode == '.') break;
      Step(opcode);
    }
    const Value result = Pop();
    Check(stack_.empty(), "values left over");
    return result;
  }

  int64_t used() const { return at_; }

 private:
  void Check(bool condition, const char* problem) const {
    SQ_CHECK(condition, path_, ": damaged pickle: ", problem, " at byte ", at_);
  }

  const char* Take(int64_t count) {
    Check(count >= 0 && count <= size_ - at_, "ends too early");
    Check(count <= kMaxPickleBytes - at_, "too long");
    const char* taken = data_ + at_;
    at_ += count;
    return taken;
  }

  template <typename T>
  T Number() {
    T value;
    std::memcpy(&value, Take(sizeof value),
                sizeof value);  // little-endian, as every machine we run on
    return value;
  }

  std::string_view Text(uint64_t size) {
    Check(size <= static_cast<uint64_t>(size_ - at_), "ends too early");
    return {Take(static_cast<int64_t>(size)), static_cast<size_t>(size)};
  }

  std::string_view Line() {
    const void* end = std::memchr(data_ + at_, '\n', static_cast<size_t>(size_ - at_));
    Check(end != nullptr, "ends too early");
    const std::string_view line =
        Text(static_cast<uint64_t>(static_cast<const char*>(end) - (data_ + at_)));
    ++at_;
    return line;
  }

  void Push(const Value& value) { stack_.push_back(value); }
  void PushInt(int64_t number) { Push({Kind::kInt, number, {}, nullptr}); }
  void PushText(Kind kind, std::string_view text) { Push({kind, 0, text, nullptr}); }
  void PushItems(Kind kind, std::vector<Value> items) {
    items_.push_back(std::move(items));
    Push({kind, 0, {}, &items_.back()});
  }

  Value& Top() {
    Check(!stack_.empty() && stack_.back().kind != Kind::kMark, "nothing on the stack");
    return stack_.back();
  }

  Value Pop() {
    const Value value = Top();
    stack_.pop_back();
    return value;
  }

  std::vector<Value> PopCount(size_t count) {
    std::vector<Value> values(count);
    while (count > 0) values[--count] = Pop();
    return values;
  }

  std::vector<Value> PopToMark() {
    size_t begin = stack_.size();
    while (begin > 0 && stack_[begin - 1].kind != Kind::kMark) --begin;
    Check(begin > 0, "no mark on the stack");
    std::vector<Value> values(stack_.begin() + static_cast<int64_t>(begin), stack_.end());
    stack_.resize(begin - 1);
    return values;
  }

  // Puts values into the list or dictionary below them.
  void Extend(Kind kind, const std::vector<Value>& values) {
    const Value& container = Top();
    if (container.kind == Kind::kOther) return;
    Check(container.kind == kind, "items for something that takes none");
    Check(kind == Kind::kList || values.size() % 2 == 0, "a key without a value");
    container.items->insert(container.items->end(), values.begin(), values.end());
  }

  std::string_view Name(std::string_view module, std::string_view name) {
    Check(module.size() + name.size() < 1000, "a name that is too long");
    names_.push_back(std::string(module) + " " + std::string(name));
    return names_.back();
  }

  void Remember(int64_t index) { memo_[index] = Top(); }
  void Recall(int64_t index) {
    const auto found = memo_.find(index);
    Check(found != memo_.end(), "refers to a value that is not there");
    Push(found->second);
  }

  // A call of something in Python. What is not known becomes a value of no interest: it is not
  // called.
  void Call() {
    const Value arguments = Pop(), function = Pop();
    Check(arguments.kind == Kind::kTuple, "arguments that are no tuple");
    const std::vector<Value>& items = *arguments.items;
    if (function.kind != Kind::kGlobal) return Push({});
    if (function.text == "torch._utils _rebuild_tensor_v2") {
      return Push({Kind::kTensor, 0, {}, arguments.items});
    }
    if (function.text == "torch._utils _rebuild_parameter" && !items.empty()) return Push(items[0]);
    if (function.text == "collections OrderedDict" && items.empty())
      return PushItems(Kind::kDict, {});
    Push({});
  }

  void PersistentId() {
    const Value id = Pop();
    Check(id.kind == Kind::kTuple && id.items->size() >= 5 && (*id.items)[0].text == "storage",
          "a reference to something that is no storage");
    Push({Kind::kStorage, 0, {}, id.items});
  }

  void Step(char opcode) {
    switch (opcode) {
      case '\x80': Take(1); return;  // PROTO
      case '\x95': Take(8); return;  // FRAME
      case '(': return Push({Kind::kMark, 0, {}, nullptr});
      case '0': Pop(); return;
      case '1': PopToMark(); return;
      case '2': return Push(Value(Top()));
      case 'N': return Push({});
      case '\x88': return PushInt(1);
      case '\x89': return PushInt(0);
      case 'J': return PushInt(Number<int32_t>());
      case 'K': return PushInt(Number<uint8_t>());
      case 'M': return PushInt(Number<uint16_t>());
      case 'G': Take(8); return Push({});
      case '\x8a': return Long(Number<uint8_t>());
      case 'X': return PushText(Kind::kString, Text(Number<uint32_t>()));
      case 'T': return PushText(Kind::kString, Text(Number<uint32_t>()));
      case 'U':
      case '\x8c': return PushText(Kind::kString, Text(Number<uint8_t>()));
      case '\x8d': return PushText(Kind::kString, Text(Number<uint64_t>()));
      case 'c': {
        const std::string_view module = Line(), name = Line();
        return PushText(Kind::kGlobal, Name(module, name));
      }
      case '\x93': {
        const Value name = Pop(), module = Pop();
        return PushText(Kind::kGlobal, Name(module.text, name.text));
      }
      case 'q': return Remember(Number<uint8_t>());
      case 'r': return Remember(Number<uint32_t>());
      case '\x94': return Remember(static_cast<int64_t>(memo_.size()));
      case 'h': return Recall(Number<uint8_t>());
      case 'j': return Recall(Number<uint32_t>());
      case ')': return PushItems(Kind::kTuple, {});
      case '\x85': return PushItems(Kind::kTuple, PopCount(1));
      case '\x86': return PushItems(Kind::kTuple, PopCount(2));
      case '\x87': return PushItems(Kind::kTuple, PopCount(3));
      case 't': return PushItems(Kind::kTuple, PopToMark());
      case ']': return PushItems(Kind::kList, {});
      case 'a': return Extend(Kind::kList, PopCount(1));
      case 'e': return Extend(Kind::kList, PopToMark());
      case '}': return PushItems(Kind::kDict, {});
      case 's': return Extend(Kind::kDict, PopCount(2));
      case 'u': return Extend(Kind::kDict, PopToMark());
      case 'Q': return PersistentId();
      case 'R': return Call();
      case 'b': Pop(); return;  // BUILD: attributes, such as a state dict's _metadata
      default: --at_; Check(false, "an instruction that no state dict needs");
    }
  }

  // LONG1: two's complement of so many bytes.
  void Long(uint8_t size) {
    const std::string_view bytes = Text(size);
    if (size > 8) return Push({});
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i)
      value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << 8 * i;
    const bool negative = size > 0 && size < 8 && (bytes[size - 1] & 0x80) != 0;
    if (negative) value |= ~uint64_t{0} << 8 * size;
    PushInt(static_cast<int64_t>(value));
  }

  const char* data_;
  int64_t size_, at_ = 0;
  const std::string& path_;
  std::vector<Value> stack_;
  std::unordered_map<int64_t, Value> memo_;
  std::deque<std::vector<Value>> items_;  // a deque: what is in it stays where it is
  std::deque<std::string> names_;
};

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

PickledStorage ReadStorage(const Value& storage, const std::string& where) {
  const std::vector<Value>& items = *storage.items;
  SQ_CHECK(items[1].kind == Kind::kGlobal && items[2].kind == Kind::kString &&
               items[2].text.size() <= kMaxKeyBytes && items[4].kind == Kind::kInt &&
               items[4].integer >= 0,
           where, ": damaged pickle: expected a storage's type, key and size");
  for (const StorageType& type : kStorageTypes) {
    if (items[1].text == type.name) return {type.dtype, items[4].integer};
  }
  throw Error(StrCat(where, ": type ", items[1].text, " is not supported"));
}

std::vector<int64_t> Sizes(const Value& tuple, const std::string& where) {
  SQ_CHECK(tuple.kind == Kind::kTuple, where, ": damaged pickle: expected a tuple of sizes");
  SQ_CHECK(tuple.items->size() <= kMaxDimensions, where, ": damaged pickle: ", tuple.items->size(),
           " dimensions");
  std::vector<int64_t> sizes;
  for (const Value& size : *tuple.items) {
    SQ_CHECK(size.kind == Kind::kInt && size.integer >= 0, where,
             ": damaged pickle: expected a size");
    sizes.push_back(size.integer);
  }
  return sizes;
}

// Whether rows follow each other without gaps; where there is one element only, strides do not
// matter.
bool IsContiguous(const Shape& shape, const std::vector<int64_t>& strides) {
  if (shape.size() != strides.size()) return false;
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

PickledTensor ReadTensor(const std::string& name, const Value& value, const std::string& path,
                         PickledDict* dict) {
  const std::string where = path + ": tensor " + name;
  const std::vector<Value>& items = *value.items;
  SQ_CHECK(items.size() >= 4 && items[0].kind == Kind::kStorage && items[1].kind == Kind::kInt,
           where, ": damaged pickle: expected a tensor's storage, offset, shape and strides");
  const PickledStorage storage = ReadStorage(items[0], where);
  PickledTensor tensor{name, storage.dtype, Sizes(items[2], where),
                       std::string((*items[0].items)[2].text), items[1].integer};
  const int64_t count = ElementCount(tensor.shape, where);
  SQ_CHECK(count == 0 || IsContiguous(tensor.shape, Sizes(items[3], where)), where,
           ": expected a contiguous dense tensor");
  SQ_CHECK(tensor.storage_offset >= 0 && tensor.storage_offset <= storage.elements &&
               count <= storage.elements - tensor.storage_offset,
           where, ": expected ", count, " elements from element ", tensor.storage_offset,
           " on, found a storage of ", storage.elements);
  const auto [known, added] = dict->storages.emplace(tensor.storage, storage);
  SQ_CHECK(
      added || (known->second.dtype == storage.dtype && known->second.elements == storage.elements),
      where, ": its storage ", tensor.storage, " is described in two ways");
  return tensor;
}

}  // namespace

PickledDict ParsePickledDict(const uint8_t* data, int64_t size, const std::string& path,
                             int64_t* used) {
  PickleReader reader(data, size, path);
  const Value top = reader.Run();
  *used = reader.used();
  SQ_CHECK(top.kind == Kind::kDict, path, ": expected a dictionary of tensors, found ",
           KindName(top.kind));
  PickledDict dict;
  for (size_t i = 0; i < top.items->size(); i += 2) {
    const Value &key = (*top.items)[i], &value = (*top.items)[i + 1];
    SQ_CHECK(key.kind == Kind::kString, path, ": expected names as keys, found ",
             KindName(key.kind));
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
  PickleReader reader(data, size, path);
  const Value top = reader.Run();
  *used = reader.used();
  SQ_CHECK(top.kind == Kind::kList, path, ": expected a list of storages, found ",
           KindName(top.kind));
  std::vector<std::string> names;
  for (const Value& name : *top.items) {
    SQ_CHECK(name.kind == Kind::kString, path, ": expected the name of a storage, found ",
             KindName(name.kind));
    names.emplace_back(name.text);
  }
  return names;
}

int64_t PickleLength(const uint8_t* data, int64_t size, const std::string& path) {
  PickleReader reader(data, size, path);
  reader.Run();
  return reader.used();
}

}  // namespace sq
