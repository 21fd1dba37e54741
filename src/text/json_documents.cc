#include "sq/text/json_documents.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/text/text_file.h"

namespace sq {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxValueBytes = size_t{1} << 30;

// Finds the end of a value that may span lines, by counting brackets. For invalid JSON the end may
// be found too early or too late; the parser then rejects it.
class ValueEnd {
 public:
  // Adds a line (the first of a value after construction or after returning true); returns whether
  // it completes the value.
  bool AfterLine(std::string_view line) {
    bool in_string = false;
    for (size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      if (in_string) {
        if (c == '\\') ++i;
        in_string = c != '"';
      } else if (c == '"') {
        in_string = true;
      } else if (c == '[' || c == '{') {
        ++depth_;
      } else if (c == ']' || c == '}') {
        --depth_;
      }
    }
    // A string cannot span lines. In damaged input this keeps it from swallowing the following
    // lines.
    const bool whole = in_string || depth_ <= 0;
    if (whole) depth_ = 0;
    return whole;
  }

 private:
  int64_t depth_ = 0;
};

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

// The key of chat messages in `object`; null if there are none.
const char* ChatKey(const Json& object) {
  for (const char* key : {"messages", "conversations", "conversation", "chat"}) {
    const auto found = object.find(key);
    if (found != object.end() && found->is_array()) return key;
  }
  return object.contains("role") && object.contains("content") ? "role" : nullptr;
}

[[noreturn]] void RefuseChat(const char* key, const std::string& field, const std::string& what) {
  throw Error(StrCat(what, ": chat messages (", Quoted(key), ") instead of ", Quoted(field),
                     ": the model's template makes a text of them, as transformers' "
                     "apply_chat_template(messages, tokenize=False) does; write its results as ",
                     "{", Quoted(field), ": ...} lines"));
}

// Says that `object` has no text, and which of its strings might be one.
std::string NoField(const Json& object, const std::string& field, const std::string& what) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) {
    if (value.is_string()) keys.push_back(Quoted(key));
  }
  return StrCat(what, ": no ", Quoted(field),
                keys.empty() ? "" : "; --text-field chooses another, there is " + NameList(keys));
}

std::string ObjectText(const Json& object, const std::string& field, const std::string& what) {
  const auto found = object.find(field);
  const bool is_text = found != object.end() && found->is_string();
  if (is_text) return found->get<std::string>();
  if (const char* chat = ChatKey(object)) RefuseChat(chat, field, what);
  SQ_CHECK(found != object.end(), NoField(object, field, what));
  throw Error(
      StrCat(what, ": ", Quoted(field), ": expected a string, found ", JsonTypeName(*found)));
}

std::string Text(const Json& value, const std::string& field, const std::string& what) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object()) return ObjectText(value, field, what);
  // Token ids or a list of them, as --tokens takes.
  const Json* inner = &value;
  if (inner->is_array() && !inner->empty()) inner = &inner->front();
  SQ_CHECK(!inner->is_number_integer(), what,
           ": expected a text, found token ids: sq-eval --tokens "
           "and sq-quantize --calibration take lists of lists of them");
  const bool chat = inner->is_object() && ChatKey(*inner) != nullptr;
  if (chat) RefuseChat(ChatKey(*inner), field, what);
  throw Error(StrCat(what, ": expected a text or an object with ", Quoted(field), ", found ",
                     JsonTypeName(value)));
}

class Reader {
 public:
  Reader(std::string path, std::string field) : path_(std::move(path)), field_(std::move(field)) {}

  JsonDocuments Read() {
    ForEachLine(path_, [&](std::string_view line, int64_t number) { Line(line, number); });
    if (!value_.empty()) Value(value_, begin_);
    return std::move(result_);
  }

 private:
  void Line(std::string_view line, int64_t number) {
    if (value_.empty() && IsBlank(line)) return;
    const bool whole = end_.AfterLine(line);
    if (value_.empty() && whole) return Value(line, number);
    if (value_.empty()) begin_ = number;
    SQ_CHECK(value_.size() + line.size() < kMaxValueBytes, path_, ", line ", begin_,
             ": a JSON value of more than ", kMaxValueBytes, " bytes");
    value_.append(line).push_back('\n');
    if (!whole) return;
    Value(value_, begin_);
    value_.clear();
  }

  void Value(std::string_view text, int64_t line) {
    const std::string what = StrCat(path_, ", line ", line);
    SQ_CHECK(result_.none.empty(), result_.none);
    const Json value = ParseJson(text, what);
    const bool is_first = std::exchange(is_first_, false);
    if (value.is_array()) {
      for (size_t i = 0; i < value.size(); ++i) {
        result_.texts.push_back(Text(value[i], field_, StrCat(what, ", element ", i)));
      }
    } else if (is_first && value.is_object() && !value.contains(field_) &&
               ChatKey(value) == nullptr) {
      result_.none = NoField(value, field_, what);  // thrown if another value follows
    } else {
      result_.texts.push_back(Text(value, field_, what));
    }
  }

  const std::string path_, field_;
  JsonDocuments result_;
  bool is_first_ = true;
  ValueEnd end_;
  std::string value_;  // the lines of an incomplete value
  int64_t begin_ = 0;  // its first line
};

}  // namespace

JsonDocuments ReadJsonDocuments(const std::string& path, const std::string& field) {
  return Reader(path, field).Read();
}

}  // namespace sq
