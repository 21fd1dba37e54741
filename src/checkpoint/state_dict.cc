#include "sq/checkpoint/state_dict.h"

#include <cstddef>
#include <set>
#include <unordered_map>
#include <utility>

#include "sq/base/error.h"

namespace sq {
namespace {

// Values may be named many times, so what is copied each time is short.
constexpr size_t kMaxKey = 256;
constexpr size_t kMaxDimensions = 64;  // PyTorch's own limit

enum class Kind {
  kNone,
  kBool,
  kInt,
  kFraction,
  kText,
  kTuple,
  kList,
  kDict,
  kGlobal,
  kStorage,
  kTensor
};

const char* KindName(Kind kind) {
  switch (kind) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return "a truth value";
    case Kind::kInt:
      return "an integer";
    case Kind::kFraction:
      return "a fraction";
    case Kind::kText:
      return "text";
    case Kind::kTuple:
      return "a tuple";
    case Kind::kList:
      return "a list";
    case Kind::kDict:
      return "a dictionary";
    case Kind::kGlobal:
      return "a global name";
    case Kind::kStorage:
      return "a storage";
    case Kind::kTensor:
      return "a tensor";
  }
  return "?";
}

// Values refer to each other by their place in one list, so that neither cycles nor deep nesting
// can hurt.
using Id = size_t;
struct Value {
  Kind kind = Kind::kNone;
  int64_t number = 0;         // kInt; kStorage: its elements
  std::string text;           // kText; kGlobal: module.name; kStorage: its key
  std::vector<Id> items;      // kTuple, kList; kDict: keys and values in turn; kTensor: see Reduce
  DType dtype = DType::kF32;  // kStorage
};

struct StorageType {
  const char* global;
  DType dtype;
};
constexpr StorageType kStorageTypes[] = {
    {"torch.FloatStorage", DType::kF32},     {"torch.HalfStorage", DType::kF16},
    {"torch.BFloat16Storage", DType::kBF16}, {"torch.DoubleStorage", DType::kF64},
    {"torch.IntStorage", DType::kI32},       {"torch.LongStorage", DType::kI64},
    {"torch.ShortStorage", DType::kI16},     {"torch.CharStorage", DType::kI8},
    {"torch.ByteStorage", DType::kU8},       {"torch.BoolStorage", DType::kBool},
};

// Python's pickle machine (pickletools describes each operation), cut down to the operations of
// protocol 2 that tensors and containers are made of.
class Machine {
 public:
  Machine(const uint8_t* data, int64_t size, const std::string& path)
      : next_(data), begin_(data), end_(data + size), path_(path) {}

  // The value of the whole pickle.
  Id Run() {
    Check(Byte() == 0x80 && Byte() == 2, "expected a pickle of protocol 2");
    while (Step()) {
    }
    return Pop();
  }
  const Value& operator[](Id id) const { return values_[id]; }
  std::string Where() const { return StrCat(path_, ": data.pkl, byte ", next_ - begin_); }

 private:
  template <typename... Args>
  void Check(bool condition, const Args&... what) const {
    SQ_CHECK(condition, Where(), ": ", what...);
  }
  const uint8_t* Bytes(uint64_t count) {
    Check(count <= static_cast<uint64_t>(end_ - next_), "truncated");
    next_ += count;
    return next_ - count;
  }
  uint8_t Byte() { return *Bytes(1); }
  // A little-endian number of `count` bytes.
  uint64_t Number(int count) {
    const uint8_t* bytes = Bytes(static_cast<uint64_t>(count));
    uint64_t number = 0;
    for (int i = 0; i < count; ++i) number |= uint64_t{bytes[i]} << (8 * i);
    return number;
  }
  std::string Line() {
    std::string line;
    for (uint8_t c = Byte(); c != '\n'; c = Byte()) line += static_cast<char>(c);
    return line;
  }

  void Push(Value value) {
    values_.push_back(std::move(value));
    stack_.push_back(values_.size() - 1);
  }
  void PushNumber(Kind kind, int64_t number) { Push({kind, number, {}, {}, {}}); }
  // Nothing below the innermost mark may be taken.
  Id Pop() {
    Check(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "a value is missing");
    const Id id = stack_.back();
    stack_.pop_back();
    return id;
  }
  Id Pop(Kind kind) {
    const Id id = Pop();
    Check(values_[id].kind == kind, "expected ", KindName(kind), ", found ",
          KindName(values_[id].kind));
    return id;
  }
  std::vector<Id> PopToMark() {
    Check(!marks_.empty(), "a mark is missing");
    std::vector<Id> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()),
                          stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  void PushTuple(int count) {
    std::vector<Id> items(static_cast<size_t>(count));
    for (int i = count - 1; i >= 0; --i) items[static_cast<size_t>(i)] = Pop();
    Push({Kind::kTuple, 0, {}, std::move(items), {}});
  }
  // Adds to the container that lies on the stack, and leaves it there.
  void Extend(Kind kind, const std::vector<Id>& items) {
    const Id container = Pop(kind);
    std::vector<Id>& to = values_[container].items;
    Check(kind != Kind::kDict || items.size() % 2 == 0, "a key without a value");
    to.insert(to.end(), items.begin(), items.end());
    stack_.push_back(container);
  }
  void Get(uint64_t key) {
    const auto found = memo_.find(key);
    Check(found != memo_.end(), "nothing is kept under ", key);
    stack_.push_back(found->second);
  }
  void Put(uint64_t key) {
    const Id id = Pop();
    stack_.push_back(id);
    memo_[key] = id;
  }

  // The storage type, key, device and number of elements of a persistent id.
  void PushStorage() {
    const std::vector<Id>& items = values_[Pop(Kind::kTuple)].items;
    const Kind kinds[] = {Kind::kText, Kind::kGlobal, Kind::kText, Kind::kText, Kind::kInt};
    bool fits = items.size() == 5;
    for (size_t i = 0; fits && i < 5; ++i) fits = values_[items[i]].kind == kinds[i];
    Check(fits && values_[items[0]].text == "storage", "expected the description of a storage");
    Check(values_[items[2]].text.size() <= kMaxKey, "a storage's key of ",
          values_[items[2]].text.size(), " bytes");
    const std::string& type = values_[items[1]].text;
    Value storage{Kind::kStorage, values_[items[4]].number, values_[items[2]].text, {}, {}};
    Check(storage.number >= 0, "a storage of ", storage.number, " elements");
    for (const StorageType& known : kStorageTypes) {
      if (type != known.global) continue;
      storage.dtype = known.dtype;
      return Push(std::move(storage));
    }
    Check(false, "storage type ", type, " is not supported");
  }

  // What calling the few known functions would give.
  void Reduce() {
    const std::vector<Id>& arguments = values_[Pop(Kind::kTuple)].items;
    const std::string function = values_[Pop(Kind::kGlobal)].text;
    const auto has = [&](size_t i, Kind kind) {
      return i < arguments.size() && values_[arguments[i]].kind == kind;
    };
    if (function == "collections.OrderedDict" && arguments.empty()) {
      Push({Kind::kDict, 0, {}, {}, {}});
    } else if (function == "torch._utils._rebuild_tensor_v2" && has(0, Kind::kStorage) &&
               has(1, Kind::kInt) && has(2, Kind::kTuple) && has(3, Kind::kTuple)) {
      // Storage, first element, sizes, strides; what follows is of use to training only.
      Push({Kind::kTensor, 0, {}, {arguments.begin(), arguments.begin() + 4}, {}});
    } else if (function == "torch._utils._rebuild_parameter" && has(0, Kind::kTensor)) {
      stack_.push_back(arguments[0]);
    } else if (function == "torch.jit._pickle.restore_type_tag" && has(1, Kind::kText)) {
      stack_.push_back(arguments[0]);  // LibTorch's own pickler wraps dictionaries so
    } else {
      Check(false, "calls ", function, "; expected tensors and plain values only");
    }
  }

  // One operation; false at the end.
  bool Step();

  const uint8_t *next_, *begin_, *end_;
  const std::string& path_;
  std::vector<Value> values_;
  std::vector<Id> stack_;
  std::vector<size_t> marks_;  // heights of the stack
  std::unordered_map<uint64_t, Id> memo_;
};

bool Machine::Step() {
  const uint8_t operation = Byte();
  switch (operation) {
    case '.':
      return false;
    case '(':
      marks_.push_back(stack_.size());
      break;
    case 'N':
      PushNumber(Kind::kNone, 0);
      break;
    case 0x88:
      PushNumber(Kind::kBool, 1);
      break;
    case 0x89:
      PushNumber(Kind::kBool, 0);
      break;
    case 'K':
      PushNumber(Kind::kInt, static_cast<int64_t>(Number(1)));
      break;
    case 'M':
      PushNumber(Kind::kInt, static_cast<int64_t>(Number(2)));
      break;
    case 'J':
      PushNumber(Kind::kInt, static_cast<int32_t>(Number(4)));
      break;
    case 0x8a: {  // two's complement of as many bytes as needed
      const int count = Byte();
      Check(count <= 8, "an integer of ", count, " bytes");
      uint64_t number = Number(count);
      if (count > 0 && count < 8 && (number >> (8 * count - 1)) != 0)
        number |= ~uint64_t{0} << (8 * count);
      PushNumber(Kind::kInt, static_cast<int64_t>(number));
      break;
    }
    case 'G':
      Bytes(8);
      PushNumber(Kind::kFraction, 0);
      break;
    case 'X': {
      const uint64_t count = Number(4);
      const char* text = reinterpret_cast<const char*>(Bytes(count));
      Push({Kind::kText, 0, std::string(text, count), {}, {}});
      break;
    }
    case 'c': {
      const std::string module = Line();
      Push({Kind::kGlobal, 0, module + "." + Line(), {}, {}});
      break;
    }
    case ')':
      PushTuple(0);
      break;
    case 0x85:
      PushTuple(1);
      break;
    case 0x86:
      PushTuple(2);
      break;
    case 0x87:
      PushTuple(3);
      break;
    case 't':
      Push({Kind::kTuple, 0, {}, PopToMark(), {}});
      break;
    case ']':
      Push({Kind::kList, 0, {}, {}, {}});
      break;
    case 'a': {
      const Id item = Pop();
      Extend(Kind::kList, {item});
      break;
    }
    case 'e':
      Extend(Kind::kList, PopToMark());
      break;
    case '}':
      Push({Kind::kDict, 0, {}, {}, {}});
      break;
    case 's': {
      const Id value = Pop(), key = Pop();
      Extend(Kind::kDict, {key, value});
      break;
    }
    case 'u':
      Extend(Kind::kDict, PopToMark());
      break;
    case 'q':
      Put(Number(1));
      break;
    case 'r':
      Put(Number(4));
      break;
    case 'h':
      Get(Number(1));
      break;
    case 'j':
      Get(Number(4));
      break;
    case 'Q':
      PushStorage();
      break;
    case 'R':
      Reduce();
      break;
    case 'b':  // attributes of an object: those of a dictionary are not its entries
      Pop();
      stack_.push_back(Pop(Kind::kDict));
      break;
    default:
      Check(false, "operation ", static_cast<int>(operation), " is not supported");
  }
  return true;
}

PickledTensor Tensor(const Machine& machine, const std::string& name, const Value& value,
                     const std::string& path) {
  const std::string where = path + ": tensor " + name;
  const Value& storage = machine[value.items[0]];
  PickledTensor tensor{name,         storage.dtype,  {},
                       storage.text, storage.number, machine[value.items[1]].number};
  Shape strides;
  for (const auto& [id, to] :
       {std::pair(value.items[2], &tensor.shape), {value.items[3], &strides}}) {
    const std::vector<Id>& items = machine[id].items;
    SQ_CHECK(items.size() <= kMaxDimensions, where, ": ", items.size(), " dimensions");
    for (const Id item : items) {
      SQ_CHECK(machine[item].kind == Kind::kInt, where, ": expected sizes, found ",
               KindName(machine[item].kind));
      to->push_back(machine[item].number);
    }
  }
  const int64_t count = ElementCount(tensor.shape, where);
  SQ_CHECK(strides.size() == tensor.shape.size(), where, ": ", strides.size(),
           " strides for shape ", ShapeText(tensor.shape));
  int64_t stride = 1;
  for (size_t i = strides.size(); i-- > 0 && count > 0;) {
    // A size of 1 is never stepped over, so its stride may be anything.
    SQ_CHECK(tensor.shape[i] == 1 || strides[i] == stride, where,
             ": expected a contiguous dense tensor, found shape ", ShapeText(tensor.shape),
             " with strides ", ShapeText(strides));
    stride *= tensor.shape[i];
  }
  SQ_CHECK(tensor.first >= 0 && tensor.first <= tensor.storage_elements &&
               count <= tensor.storage_elements - tensor.first,
           where, ": elements ", tensor.first, " to ", tensor.first, " + ", count,
           " of a storage of ", tensor.storage_elements);
  return tensor;
}

}  // namespace

StateDict ParseStateDict(const uint8_t* data, int64_t size, const std::string& path) {
  Machine machine(data, size, path);
  const Value& root = machine[machine.Run()];
  SQ_CHECK(root.kind == Kind::kDict, path, ": expected a dictionary of tensors, found ",
           KindName(root.kind));
  StateDict dict;
  std::set<std::string> seen;
  for (size_t i = 0; i < root.items.size(); i += 2) {
    const Value &key = machine[root.items[i]], &value = machine[root.items[i + 1]];
    SQ_CHECK(key.kind == Kind::kText, path, ": expected names as keys, found ", KindName(key.kind));
    SQ_CHECK(seen.insert(key.text).second, path, ": ", key.text, " is there twice");
    if (value.kind == Kind::kTensor) {
      dict.tensors.push_back(Tensor(machine, key.text, value, path));
    } else {
      SQ_CHECK(value.kind == Kind::kInt, path, ": ", key.text,
               ": expected a tensor or an integer, found ", KindName(value.kind));
      dict.integers[key.text] = value.number;
    }
  }
  return dict;
}

}  // namespace sq
