// The stack machine that a pickle is a program for, with what torch.save's programs need of it.
// Nothing is ever called: it makes values that refer to the pickle's own bytes.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sq {

// Refers to items and text, and owns nothing: however deep a file nests them, nothing recurses.
struct PickleValue {
  enum class Kind {
    kMark,
    kOther,  // None, fractions, numbers beyond 64 bits
    kInt,    // truth values too
    kString,
    kGlobal,   // text: "module name"
    kTuple,    // items
    kList,     // items
    kDict,     // items: key, value, key, value ...
    kStorage,  // items: what the file says of it
    kTensor,   // items: the arguments of its _rebuild function
  };
  Kind kind = Kind::kOther;
  int64_t integer = 0;
  std::string_view text;
  std::vector<PickleValue>* items = nullptr;
};

// "a tuple", for messages.
const char* KindName(PickleValue::Kind kind);

// Runs the operations of Python's pickletools that torch.save uses, protocols 2 to 5.
class PickleMachine {
 public:
  PickleMachine(const uint8_t* data, int64_t size, const std::string& path)
      : data_(reinterpret_cast<const char*>(data)), size_(size), path_(path) {}

  // The value that the pickle leaves. Its text is valid as long as the data, its items as long as
  // the machine. Throws sq::Error naming `path`: a damaged pickle, one longer than any model's, or
  // one that asks to call what no tensor needs, which is named.
  PickleValue Run();

  // The pickle's length, after Run.
  int64_t used() const { return at_; }

 private:
  using Value = PickleValue;
  using Kind = PickleValue::Kind;

  void Check(bool condition, const char* problem) const;
  const char* Take(int64_t count);
  template <typename T>
  T Number();
  std::string_view Text(uint64_t size);
  std::string_view Line();
  void Push(const Value& value) { stack_.push_back(value); }
  void PushInt(int64_t number) { Push({Kind::kInt, number, {}, nullptr}); }
  void PushText(Kind kind, std::string_view text) { Push({kind, 0, text, nullptr}); }
  void PushItems(Kind kind, std::vector<Value> items) {
    items_.push_back(std::move(items));
    Push({kind, 0, {}, &items_.back()});
  }
  Value& Top();
  Value Pop();
  std::vector<Value> PopCount(size_t count);
  std::vector<Value> PopToMark();
  // Puts values into the list or dictionary below them.
  void Extend(Kind kind, const std::vector<Value>& values);
  std::string_view Name(std::string_view module, std::string_view name);
  void Remember(int64_t index);
  void Recall(int64_t index);
  // A call of something in Python. Nothing is called: what a state dict needs is known by its name,
  // and a pickle that wants anything else is refused.
  void Call();
  [[noreturn]] void Refuse(const Value& function) const;
  void New();
  void PersistentId();
  void Step(char opcode);
  // LONG1: two's complement of so many bytes.
  void Long(uint8_t size);

  const char* data_;
  int64_t size_, at_ = 0;
  const std::string& path_;
  std::vector<Value> stack_;
  std::unordered_map<int64_t, Value> memo_;
  std::deque<std::vector<Value>> items_;  // a deque: what is in it stays where it is
  std::deque<std::string> names_;
};

}  // namespace sq
