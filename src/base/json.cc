#include "sq/base/json.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "sq/base/error.h"
#include "sq/base/file.h"

namespace sq {
namespace {

constexpr int kMaxNesting = 100;

// How Python's json module writes floats that JSON cannot represent.
const struct {
  std::string_view word;
  double value;
} kNotFinite[] = {{"-Infinity", -std::numeric_limits<double>::infinity()},
                  {"Infinity", std::numeric_limits<double>::infinity()},
                  {"NaN", std::numeric_limits<double>::quiet_NaN()}};

// An occurrence of a kNotFinite word in a text, outside of strings, and the number of strings
// before it.
struct NotFinite {
  size_t begin;
  size_t length;
  int64_t strings;
  double value;
};

// Scans the text outside of strings before parsing: measures nesting and finds kNotFinite words.
// Invalid JSON may be misread here; the parser rejects it later.
std::vector<NotFinite> Scan(std::string_view text, const std::string& what) {
  int depth = 0;
  bool in_string = false;
  int64_t strings = 0;
  std::vector<NotFinite> found;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
      ++strings;
    } else if (c == '[' || c == '{') {
      SQ_CHECK(++depth <= kMaxNesting, what, ": JSON nested deeper than ", kMaxNesting,
               " levels at byte ", i);
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == 'N' || c == 'I' || c == '-') {
      for (const auto& [word, value] : kNotFinite) {
        if (text.compare(i, word.size(), word) != 0) continue;
        found.push_back({i, word.size(), strings, value});
        i += word.size() - 1;
        break;
      }
    }
  }
  return found;
}

// The parser does not support NaN and the like. Each one is replaced by an empty string, padded to
// the same length to keep positions in messages right, and restored when that string is parsed.
// Strings are counted to recognize it, since the text may contain empty strings itself.
nlohmann::json ParseWith(std::string_view text, const std::vector<NotFinite>& words,
                         const std::string& what) {
  if (words.empty()) return nlohmann::json::parse(text.begin(), text.end());
  std::string stand_in(text);
  for (const NotFinite& word : words) {
    std::fill_n(stand_in.begin() + static_cast<std::ptrdiff_t>(word.begin), word.length, ' ');
    stand_in[word.begin] = stand_in[word.begin + 1] = '"';
  }
  auto next = words.begin();
  int64_t strings = 0;  // in the text itself
  using Event = nlohmann::json::parse_event_t;
  return nlohmann::json::parse(stand_in, [&](int, Event event, nlohmann::json& value) {
    if (event != Event::key && !(event == Event::value && value.is_string())) return true;
    if (next == words.end() || next->strings != strings) {
      ++strings;
      return true;
    }
    SQ_CHECK(event != Event::key, what, ": not valid JSON at byte ", next->begin + 1,
             ": expected a name, found ", text.substr(next->begin, next->length));
    value = next->value;
    ++next;
    return true;
  });
}

// The parser's message without its error code, its position (the column counts bytes of a line that
// may be the whole file) and the last token, which may be long or binary.
std::string Reason(const nlohmann::json::parse_error& error) {
  std::string reason = error.what();
  const size_t column = reason.find("column ");
  const size_t begin = reason.find(": ", column == std::string::npos ? 0 : column);
  if (begin != std::string::npos) reason.erase(0, begin + 2);
  const size_t read = reason.find("; last read: ");
  if (read != std::string::npos) reason.erase(read);
  return reason;
}

void AppendText(const nlohmann::ordered_json& value, const std::string& indent, std::string* text) {
  if (value.is_structured() && !value.empty()) {
    const std::string inner = indent + "  ";
    *text += value.is_object() ? "{" : "[";
    bool first = true;
    for (const auto& [key, member] : value.items()) {
      *text += (first ? "\n" : ",\n") + inner;
      first = false;
      if (value.is_object()) *text += nlohmann::ordered_json(key).dump() + ": ";
      AppendText(member, inner, text);
    }
    *text += "\n" + indent + (value.is_object() ? "}" : "]");
  } else if (value.is_number_float() && !std::isfinite(value.get<double>())) {
    *text += JsonTypeName(value);
  } else {
    *text += value.dump();
  }
}

// The member; null if it is missing or null and there is a fallback.
const nlohmann::json* Find(const nlohmann::json& object, const std::string& key,
                           const std::string& what, bool has_fallback) {
  if (has_fallback && object.is_object()) {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return nullptr;
    return &*found;
  }
  return &JsonMember(object, key, what);
}

}  // namespace

nlohmann::json ParseJson(std::string_view text, const std::string& what) {
  const std::vector<NotFinite> words = Scan(text, what);
  try {
    return ParseWith(text, words, what);
  } catch (const nlohmann::json::parse_error& error) {
    throw Error(StrCat(what, ": not valid JSON at byte ", error.byte, ": ", Reason(error)));
  } catch (const nlohmann::json::exception& error) {
    throw Error(StrCat(what, ": not valid JSON: ", error.what()));
  }
}

nlohmann::json ReadJsonFile(const std::string& path, int64_t max_bytes) {
  return ParseJson(ReadFile(path, max_bytes), path);
}

std::string JsonText(const nlohmann::ordered_json& value) {
  std::string text;
  AppendText(value, "", &text);
  return text;
}

const nlohmann::json& JsonMember(const nlohmann::json& object, const std::string& key,
                                 const std::string& what) {
  SQ_CHECK(object.is_object(), what, ": expected an object with ", Quoted(key), ", found ",
           JsonTypeName(object));
  const auto found = object.find(key);
  SQ_CHECK(found != object.end(), what, ": no ", Quoted(key));
  return *found;
}

int64_t JsonInt(const nlohmann::json& object, const std::string& key, const std::string& what,
                std::optional<int64_t> fallback) {
  const nlohmann::json* value = Find(object, key, what, fallback.has_value());
  if (value == nullptr) return *fallback;
  SQ_CHECK(value->is_number_integer(), what, ": ", Quoted(key), ": expected an integer, found ",
           JsonTypeName(*value));
  SQ_CHECK(!value->is_number_unsigned() ||
               value->get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()),
           what, ": ", Quoted(key), ": ", value->get<uint64_t>(), " does not fit 64 bits");
  return value->get<int64_t>();
}

double JsonDouble(const nlohmann::json& object, const std::string& key, const std::string& what,
                  std::optional<double> fallback) {
  const nlohmann::json* value = Find(object, key, what, fallback.has_value());
  if (value == nullptr) return *fallback;
  SQ_CHECK(value->is_number() && std::isfinite(value->get<double>()), what, ": ", Quoted(key),
           ": expected a number, found ", JsonTypeName(*value));
  return value->get<double>();
}

bool JsonBool(const nlohmann::json& object, const std::string& key, const std::string& what,
              std::optional<bool> fallback) {
  const nlohmann::json* value = Find(object, key, what, fallback.has_value());
  if (value == nullptr) return *fallback;
  SQ_CHECK(value->is_boolean(), what, ": ", Quoted(key), ": expected true or false, found ",
           JsonTypeName(*value));
  return value->get<bool>();
}

std::string JsonString(const nlohmann::json& object, const std::string& key,
                       const std::string& what, const std::optional<std::string>& fallback) {
  const nlohmann::json* value = Find(object, key, what, fallback.has_value());
  if (value == nullptr) return *fallback;
  SQ_CHECK(value->is_string(), what, ": ", Quoted(key), ": expected a string, found ",
           JsonTypeName(*value));
  return value->get<std::string>();
}

std::string JsonTypeName(const nlohmann::json& value) {
  using Type = nlohmann::json::value_t;
  switch (value.type()) {
    case Type::null: return "null";
    case Type::object: return "an object";
    case Type::array: return "an array";
    case Type::string: return "a string";
    case Type::boolean: return "true or false";
    case Type::number_integer:
    case Type::number_unsigned: return "an integer";
    case Type::number_float: {
      const double number = value.get<double>();
      if (std::isfinite(number)) return "a fraction";
      return std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
    }
    case Type::binary:
    case Type::discarded: break;
  }
  return "no value";
}

}  // namespace sq
