// JSON files, read as hostile input: size and nesting are bounded, and every error is one line that
// names the file and the key. Include <nlohmann/json.hpp> where the values are used.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace sq {

// Parses `text`; `what` (a file, as a rule) opens the message of the sq::Error thrown when it is
// not valid JSON, or nested deeper than 100 levels (copying or printing a deeper value could run
// out of stack). As in Python, a name that occurs twice in an object has the last value, and NaN,
// Infinity and -Infinity are numbers; the functions below refuse them as values.
nlohmann::json ParseJson(std::string_view text, const std::string& what);

// ParseJson of a file. Throws sq::Error when it cannot be read or is larger than `max_bytes`.
nlohmann::json ReadJsonFile(const std::string& path, int64_t max_bytes = int64_t{256} << 20);

// `value` as text, as dump(2) has it, but for numbers that are not finite: those are written as
// they are read, where dump would make nulls of them.
std::string JsonText(const nlohmann::ordered_json& value);

// The member `key` of `object`. Throws sq::Error, opening with `what`, when `object` is not an
// object or has no such member.
const nlohmann::json& JsonMember(const nlohmann::json& object, const std::string& key,
                                 const std::string& what);

// The member `key` of `object` as a number, truth value or string. A member that is absent or null
// gives `fallback`, or an error where there is none; a value of another type throws sq::Error
// naming `what`, the key, the type expected and the one found. Nothing is converted but integers to
// double.
int64_t JsonInt(const nlohmann::json& object, const std::string& key, const std::string& what,
                std::optional<int64_t> fallback = std::nullopt);
double JsonDouble(const nlohmann::json& object, const std::string& key, const std::string& what,
                  std::optional<double> fallback = std::nullopt);
bool JsonBool(const nlohmann::json& object, const std::string& key, const std::string& what,
              std::optional<bool> fallback = std::nullopt);
std::string JsonString(const nlohmann::json& object, const std::string& key,
                       const std::string& what,
                       const std::optional<std::string>& fallback = std::nullopt);

// What `value` is, with an article, for messages: "a string", "an object", "null" ...
std::string JsonTypeName(const nlohmann::json& value);

}  // namespace sq
