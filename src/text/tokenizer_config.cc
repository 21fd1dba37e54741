#include "sq/text/tokenizer_config.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/json.h"

namespace sq {
namespace {

// A token's text: a string, or an object that holds it as "content".
std::optional<std::string> Token(const nlohmann::json& file, const char* key,
                                 const std::string& what) {
  const auto found = file.find(key);
  if (found == file.end() || found->is_null()) return std::nullopt;
  if (found->is_object()) return JsonString(*found, "content", StrCat(what, ": ", key));
  return JsonString(file, key, what);
}

std::optional<bool> Flag(const nlohmann::json& file, const char* key, const std::string& what) {
  const auto found = file.find(key);
  if (found == file.end() || found->is_null()) return std::nullopt;
  return JsonBool(file, key, what);
}

void CheckIsObject(const nlohmann::json& file, const std::string& path) {
  SQ_CHECK(file.is_object(), path, ": expected an object, found ", JsonTypeName(file));
}

}  // namespace

TokenizerConfig ReadTokenizerConfig(const std::string& model_dir) {
  namespace fs = std::filesystem;
  TokenizerConfig config;
  const std::string main_path = (fs::path(model_dir) / "tokenizer_config.json").string();
  if (fs::exists(main_path)) {
    const nlohmann::json file = ReadJsonFile(main_path);
    CheckIsObject(file, main_path);
    config.tokenizer_class = JsonString(file, "tokenizer_class", main_path, "");
    config.bos_token = Token(file, "bos_token", main_path);
    config.eos_token = Token(file, "eos_token", main_path);
    config.add_bos_token = Flag(file, "add_bos_token", main_path);
    config.add_eos_token = Flag(file, "add_eos_token", main_path);
    config.add_prefix_space = Flag(file, "add_prefix_space", main_path);
    config.legacy = Flag(file, "legacy", main_path);
  }
  const std::string map_path = (fs::path(model_dir) / "special_tokens_map.json").string();
  if ((!config.bos_token || !config.eos_token) && fs::exists(map_path)) {
    const nlohmann::json file = ReadJsonFile(map_path);
    CheckIsObject(file, map_path);
    if (!config.bos_token) config.bos_token = Token(file, "bos_token", map_path);
    if (!config.eos_token) config.eos_token = Token(file, "eos_token", map_path);
  }
  return config;
}

}  // namespace sq
