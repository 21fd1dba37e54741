#include "sq/text/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"

namespace sq {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

// A token's text: a string, or an object that holds it as "content".
std::optional<std::string> Token(const Json& file, const char* key, const std::string& what) {
  const auto found = file.find(key);
  if (found == file.end() || found->is_null()) return std::nullopt;
  if (found->is_object()) return JsonString(*found, "content", StrCat(what, ": ", Quoted(key)));
  return JsonString(file, key, what);
}

std::optional<bool> Flag(const Json& file, const char* key, const std::string& what) {
  const auto found = file.find(key);
  if (found == file.end() || found->is_null()) return std::nullopt;
  return JsonBool(file, key, what);
}

// The object in the file, or an empty one where there is no file.
Json ReadObject(const std::string& path) {
  if (!FileExists(path)) return Json::object();
  Json file = ReadJsonFile(path);
  SQ_CHECK(file.is_object(), path, ": expected an object, found ", JsonTypeName(file));
  return file;
}

int32_t CheckedId(int64_t id, const std::string& what) {
  SQ_CHECK(id >= 0 && id <= std::numeric_limits<int32_t>::max(), what,
           ": expected an id from 0 to 2147483647, found ", id);
  return static_cast<int32_t>(id);
}

// {"32000": {"content": "<pad>", ...}, ...}
void ReadAddedTokensDecoder(const Json& decoder, const std::string& what,
                            std::vector<AddedToken>* tokens) {
  SQ_CHECK(decoder.is_object(), what, ": expected an object, found ", JsonTypeName(decoder));
  for (const auto& [key, item] : decoder.items()) {
    AddedToken token = ParseAddedToken(item, StrCat(what, ": ", Quoted(key)));
    int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    SQ_CHECK(error == std::errc() && end == key.data() + key.size() && id >= 0, what,
             ": expected an id from 0 to 2147483647, found ", Quoted(key));
    token.id = id;
    tokens->push_back(std::move(token));
  }
}

}  // namespace

TokenizerConfig ReadTokenizerConfig(const std::string& model_dir) {
  const auto path = [&](const char* name) { return (fs::path(model_dir) / name).string(); };
  const std::string config_path = path("tokenizer_config.json");
  const std::string map_path = path("special_tokens_map.json");
  const std::string added_path = path("added_tokens.json");
  const Json file = ReadObject(config_path);
  const Json map = ReadObject(map_path);

  TokenizerConfig config;
  config.tokenizer_class = JsonString(file, "tokenizer_class", config_path, "");
  config.add_bos_token = Flag(file, "add_bos_token", config_path);
  config.add_eos_token = Flag(file, "add_eos_token", config_path);
  config.add_prefix_space = Flag(file, "add_prefix_space", config_path);
  config.legacy = Flag(file, "legacy", config_path);
  std::vector<std::string>& special = config.special_tokens;
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token", "sep_token",
                          "cls_token", "mask_token"}) {
    std::optional<std::string> token = Token(file, key, config_path);
    if (!token) token = Token(map, key, map_path);
    if (!token) continue;
    if (std::find(special.begin(), special.end(), *token) == special.end()) {
      special.push_back(*token);
    }
    if (key == std::string_view("bos_token")) config.bos_token = token;
    if (key == std::string_view("eos_token")) config.eos_token = token;
  }

  if (const auto decoder = file.find("added_tokens_decoder"); decoder != file.end()) {
    ReadAddedTokensDecoder(*decoder, config_path + ": added_tokens_decoder", &config.added_tokens);
    return config;
  }
  const Json added = ReadObject(added_path);
  for (const auto& [content, id] : added.items()) {
    AddedToken token;
    token.content = content;
    token.id =
        CheckedId(JsonInt(added, content, added_path), StrCat(added_path, ": ", Quoted(content)));
    token.special = std::find(special.begin(), special.end(), content) != special.end();
    config.added_tokens.push_back(std::move(token));
  }
  return config;
}

AddedToken ParseAddedToken(const Json& item, const std::string& what) {
  SQ_CHECK(item.is_object(), what, ": expected an object, found ", JsonTypeName(item));
  AddedToken token;
  token.content = JsonString(item, "content", what);
  token.special = JsonBool(item, "special", what, false);
  token.single_word = JsonBool(item, "single_word", what, false);
  token.strip_left = JsonBool(item, "lstrip", what, false);
  token.strip_right = JsonBool(item, "rstrip", what, false);
  token.normalized = JsonBool(item, "normalized", what, !token.special);
  return token;
}

}  // namespace sq
