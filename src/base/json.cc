#include "sq/base/json.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"

namespace sq {
namespace {

constexpr int kMaxNesting = 100;

// Counts brackets outside strings, before the parser gets to see them. Text that is not JSON may be
// miscounted; then the parser refuses it.
void CheckNesting(std::string_view text, const std::string& what) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      SQ_CHECK(++depth <= kMaxNesting, what, ": JSON nested deeper than ", kMaxNesting,
               " levels at byte ", i);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

// The parser's own account without its error code, its position (it counts the column in bytes of a
// line that may be the whole file) and the text read last, which may be long or binary.
std::string Reason(const nlohmann::json::parse_error& error) {
  std::string reason = error.what();
  const size_t column = reason.find("column ");
  const size_t begin = reason.find(": ", column == std::string::npos ? 0 : column);
  if (begin != std::string::npos) reason.erase(0, begin + 2);
  const size_t read = reason.find("; last read: ");
  if (read != std::string::npos) reason.erase(read);
  return reason;
}

// The member, or null where it is absent or null and there is a fallback.
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
  CheckNesting(text, what);
  try {
    return nlohmann::json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::parse_error& error) {
    throw Error(StrCat(what, ": not valid JSON at byte ", error.byte, ": ", Reason(error)));
  } catch (const nlohmann::json::exception& error) {
    throw Error(StrCat(what, ": not valid JSON: ", error.what()));
  }
}

nlohmann::json ReadJsonFile(const std::string& path, int64_t max_bytes) {
  return ParseJson(ReadFile(path, max_bytes), path);
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
  SQ_CHECK(value->is_number(), what, ": ", Quoted(key), ": expected a number, found ",
           JsonTypeName(*value));
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
    case Type::number_float: return "a fraction";
    case Type::binary:
    case Type::discarded: break;
  }
  return "no value";
}

}  // namespace sq
