#include "sq/checkpoint/pickle_machine.h"

#include <algorithm>
#include <cstring>

#include "sq/base/error.h"

namespace sq {
namespace {

// A tensor takes about 200 bytes of pickle; what a pickle can take in memory is about 80 times its
// length.
constexpr int64_t kMaxPickleBytes = 16 << 20;

}  // namespace

const char* KindName(PickleValue::Kind kind) {
  using Kind = PickleValue::Kind;
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

PickleValue PickleMachine::Run() {
  while (true) {
    const char opcode = *Take(1);
    if (opcode == '.') break;
    Step(opcode);
  }
  const Value result = Pop();
  Check(stack_.empty(), "values left over");
  return result;
}

void PickleMachine::Check(bool condition, const char* problem) const {
  SQ_CHECK(condition, path_, ": damaged pickle: ", problem, " at byte ", at_);
}

const char* PickleMachine::Take(int64_t count) {
  Check(count >= 0 && count <= size_ - at_, "ends too early");
  Check(count <= kMaxPickleBytes - at_, "too long");
  const char* taken = data_ + at_;
  at_ += count;
  return taken;
}

template <typename T>
T PickleMachine::Number() {
  T value;
  std::memcpy(&value, Take(sizeof value), sizeof value);  // little-endian, as our machines are
  return value;
}

std::string_view PickleMachine::Text(uint64_t size) {
  Check(size <= static_cast<uint64_t>(size_ - at_), "ends too early");
  return {Take(static_cast<int64_t>(size)), static_cast<size_t>(size)};
}

std::string_view PickleMachine::Line() {
  const void* end = std::memchr(data_ + at_, '\n', static_cast<size_t>(size_ - at_));
  Check(end != nullptr, "ends too early");
  const std::string_view line =
      Text(static_cast<uint64_t>(static_cast<const char*>(end) - (data_ + at_)));
  ++at_;
  return line;
}

PickleValue& PickleMachine::Top() {
  Check(!stack_.empty() && stack_.back().kind != Kind::kMark, "nothing on the stack");
  return stack_.back();
}

PickleValue PickleMachine::Pop() {
  const Value value = Top();
  stack_.pop_back();
  return value;
}

std::vector<PickleValue> PickleMachine::PopCount(size_t count) {
  std::vector<Value> values(count);
  while (count > 0) values[--count] = Pop();
  return values;
}

std::vector<PickleValue> PickleMachine::PopToMark() {
  size_t begin = stack_.size();
  while (begin > 0 && stack_[begin - 1].kind != Kind::kMark) --begin;
  Check(begin > 0, "no mark on the stack");
  std::vector<Value> values(stack_.begin() + static_cast<int64_t>(begin), stack_.end());
  stack_.resize(begin - 1);
  return values;
}

void PickleMachine::Extend(Kind kind, const std::vector<Value>& values) {
  const Value& container = Top();
  if (container.kind == Kind::kOther) return;
  Check(container.kind == kind, "items for something that takes none");
  Check(kind == Kind::kList || values.size() % 2 == 0, "a key without a value");
  container.items->insert(container.items->end(), values.begin(), values.end());
}

std::string_view PickleMachine::Name(std::string_view module, std::string_view name) {
  Check(module.size() + name.size() < 1000, "a name that is too long");
  names_.push_back(std::string(module) + " " + std::string(name));
  return names_.back();
}

void PickleMachine::Remember(int64_t index) { memo_[index] = Top(); }

void PickleMachine::Recall(int64_t index) {
  const auto found = memo_.find(index);
  Check(found != memo_.end(), "refers to a value that is not there");
  Push(found->second);
}

void PickleMachine::Call() {
  const Value arguments = Pop(), function = Pop();
  Check(arguments.kind == Kind::kTuple, "arguments that are no tuple");
  Check(function.kind == Kind::kGlobal, "a call of something that is no function");
  const std::vector<Value>& items = *arguments.items;
  if (function.text == "torch._utils _rebuild_tensor_v2" ||
      function.text == "torch._utils _rebuild_tensor") {
    return Push({Kind::kTensor, 0, {}, arguments.items});
  }
  if ((function.text == "torch._utils _rebuild_parameter" ||
       function.text == "torch._utils _rebuild_parameter_with_state") &&
      !items.empty()) {
    return Push(items[0]);
  }
  if (function.text == "collections OrderedDict" && items.empty()) {
    return PushItems(Kind::kDict, {});
  }
  Refuse(function);
}

void PickleMachine::Refuse(const Value& function) const {
  std::string name(function.text);
  std::replace(name.begin(), name.end(), ' ', '.');
  throw Error(StrCat(path_, ": asks to call ", Quoted(name),
                     ", which no tensor needs: no code of a file is run"));
}

void PickleMachine::New() {
  Pop();
  const Value type = Pop();
  Check(type.kind == Kind::kGlobal, "a call of something that is no function");
  Refuse(type);
}

void PickleMachine::PersistentId() {
  const Value id = Pop();
  Check(id.kind == Kind::kTuple && id.items->size() >= 5 && (*id.items)[0].text == "storage",
        "a reference to something that is no storage");
  Push({Kind::kStorage, 0, {}, id.items});
}

void PickleMachine::Step(char opcode) {
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
    case '\x81': return New();
    case 'b': Pop(); return;  // BUILD: attributes, such as a state dict's _metadata
    default: --at_; Check(false, "an instruction that no state dict needs");
  }
}

void PickleMachine::Long(uint8_t size) {
  const std::string_view bytes = Text(size);
  if (size > 8) return Push({});
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i)
    value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << 8 * i;
  const bool negative = size > 0 && size < 8 && (bytes[size - 1] & 0x80) != 0;
  if (negative) value |= ~uint64_t{0} << 8 * size;
  PushInt(static_cast<int64_t>(value));
}

}  // namespace sq
