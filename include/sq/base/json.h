// JSON files, treated as untrusted input: size and nesting are bounded, and every error is one line
// that names the file and the key. Include <nlohmann/json.hpp> where the values are used.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace sq {

// Parses `text`. Throws sq::Error, whose message begins with `what` (usually a file name), for
// invalid JSON and for nesting deeper than 100 levels (copying or printing such a value could
// overflow the stack). As in Python, the last of several equal keys of an object counts, and NaN,
// Infinity and -Infinity are numbers; the accessors below reject them.
nlohmann::json ParseJson(std::string_view text, const std::string& what);

// ParseJson of a file. Throws sq::Error when it cannot be read or is larger than `max_bytes`.
nlohmann::json ReadJsonFile(const std::string& path, int64_t max_bytes = int64_t{256} << 20);

// Serializes `value` like dump(2), except that non-finite numbers are written the way ParseJson
// reads them, where dump would write null.
std::string JsonText(const nlohmann::ordered_json& value);

// The member `key` of `object`. Throws sq::Error, beginning with `what`, when `object` is not an
// object or has no such member.
const nlohmann::json& JsonMember(const nlohmann::json& object, const std::string& key,
                                 const std::string& what);

// The member `key` of `object` as a number, boolean or string. For a member that is missing or
// null, returns `fallback` if given and throws otherwise. A value of another type throws sq::Error
// naming `what`, the key, the expected type and the one found. The only conversion is from integer
// to double.
int64_t JsonInt(const nlohmann::json& object, const std::string& key, const std::string& what,
                std::optional<int64_t> fallback = std::nullopt);
double JsonDouble(const nlohmann::json& object, const std::string& key, const std::string& what,
                  std::optional<double> fallback = std::nullopt);
bool JsonBool(const nlohmann::json& object, const std::string& key, const std::string& what,
              std::optional<bool> fallback = std::nullopt);
std::string JsonString(const nlohmann::json& object, const std::string& key,
                       const std::string& what,
                       const std::optional<std::string>& fallback = std::nullopt);

// The type of `value` with an article, for messages: "a string", "an object", "null" ...
std::string JsonTypeName(const nlohmann::json& value);

}  // namespace sq
