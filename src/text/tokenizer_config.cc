#include "sq/text/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/text/tokenizer_class.h"

namespace sq {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxConfigBytes = int64_t{256} << 20;  // as ReadJsonFile

// The files of the folder, an empty object for each missing one.
struct Files {
  std::string config_path;
  std::string map_path;
  Json config;
  Json map;  // special_tokens_map.json, if it is read
};

std::optional<bool> Flag(const Json& file, const char* key, const std::string& what) {
  const auto found = file.find(key);
  if (found == file.end() || found->is_null()) return std::nullopt;
  return JsonBool(file, key, what);
}

Json ReadObject(const std::string& path) {
  if (!FileExists(path)) return Json::object();
  Json file = ReadJsonFile(path);
  SQ_CHECK(file.is_object(), path, ": expected an object, found ", JsonTypeName(file));
  return file;
}

NamedToken SpecialToken(const std::string& content) {
  NamedToken named;
  named.token.id = -1;
  named.token.content = content;
  named.token.special = true;
  return named;
}

// Parses a special token: a string or an object.
NamedToken ParseSpecialToken(const Json& value, const std::string& what) {
  if (value.is_string()) return SpecialToken(value.get<std::string>());
  SQ_CHECK(value.is_object(), what, ": expected a string, found ", JsonTypeName(value));
  NamedToken named;
  named.token = ParseAddedToken(value, what);
  named.token.id = -1;
  named.token.special = true;
  named.is_object = true;
  return named;
}

// An ordered set of special tokens.
struct SpecialTokens {
  std::vector<NamedToken> list;
  std::unordered_set<std::string> contents;
};

void AddOnce(NamedToken named, SpecialTokens* tokens) {
  if (named.token.content.empty() || !tokens->contents.insert(named.token.content).second) return;
  tokens->list.push_back(std::move(named));
}

// The token that the files name under `key`, or `fallback` if there is no such key; empty for null.
std::optional<std::string> AddNamedToken(const Files& files, const char* key, const char* fallback,
                                         SpecialTokens* tokens) {
  NamedToken named;
  if (files.map.contains(key) || files.config.contains(key)) {
    const bool in_map = files.map.contains(key);
    const Json& value = in_map ? files.map[key] : files.config[key];
    if (value.is_null()) return std::nullopt;
    named =
        ParseSpecialToken(value, StrCat(in_map ? files.map_path : files.config_path, ": ", key));
  } else {
    if (fallback == nullptr) return std::nullopt;
    named = SpecialToken(fallback);
  }
  // In the classes that have one, it strips the space before it.
  if (key == std::string_view("mask_token") && fallback != nullptr) named.token.strip_left = true;
  std::string content = named.token.content;
  AddOnce(std::move(named), tokens);
  return content;
}

// The names of the members of the object under `key` in the order of the file, which Json does not
// preserve.
std::vector<std::string> MemberNames(const std::string& path, const char* key) {
  std::vector<std::string> names;
  bool inside = false;
  const auto see = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    if (event != Json::parse_event_t::key) return true;
    if (depth == 1) inside = parsed == key;
    if (depth == 2 && inside) names.push_back(parsed.get<std::string>());
    return true;
  };
  [[maybe_unused]] const Json again = Json::parse(ReadFile(path, kMaxConfigBytes), see);
  return names;
}

// A list of special tokens, or an object whose members are special tokens, in the order of the
// file.
void AddListedTokens(const Json& file, const std::string& path, const char* key,
                     SpecialTokens* tokens) {
  const auto found = file.find(key);
  if (found == file.end() || found->is_null()) return;
  const std::string what = StrCat(path, ": ", key);
  const auto add = [&](const Json& value) {
    NamedToken named = ParseSpecialToken(value, what);
    named.is_listed = true;
    AddOnce(std::move(named), tokens);
  };
  if (found->is_object()) {
    for (const std::string& name : MemberNames(path, key)) add(JsonMember(*found, name, what));
    return;
  }
  SQ_CHECK(found->is_array(), what, ": expected an array, found ", JsonTypeName(*found));
  for (const Json& value : *found) add(value);
}

SpecialTokens ReadSpecialTokens(const Files& files, const TokenizerClass* row,
                                TokenizerConfig* config) {
  SpecialTokens tokens;
  for (size_t i = 0; i < kNamedTokens.size(); ++i) {
    const std::string_view key = kNamedTokens[i];
    const std::optional<std::string> content =
        AddNamedToken(files, kNamedTokens[i], row != nullptr ? row->tokens[i] : nullptr, &tokens);
    if (key == "bos_token") config->bos_token = content;
    if (key == "eos_token") config->eos_token = content;
    if (key == "sep_token") config->sep_token = content;
    if (key == "cls_token") config->cls_token = content;
  }
  for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
    AddListedTokens(files.config, files.config_path, key, &tokens);
    AddListedTokens(files.map, files.map_path, key, &tokens);
  }
  for (size_t i = 0; row != nullptr && i < row->extras.size(); ++i) {
    if (row->extras[i] != nullptr) {
      AddNamedToken(files, row->extra_keys[i], row->extras[i], &tokens);
    }
  }
  return tokens;
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

// {"<pad>": 32000, ...}
void ReadAddedTokens(const std::string& path, const SpecialTokens& special,
                     TokenizerConfig* config) {
  const Json added = ReadObject(path);
  for (const auto& [content, value] : added.items()) {
    const int64_t id = JsonInt(added, content, path);
    SQ_CHECK(id >= 0 && id <= std::numeric_limits<int32_t>::max(), path, ": ", Quoted(content),
             ": expected an id from 0 to 2147483647, found ", id);
    AddedToken token;
    token.content = content;
    token.id = static_cast<int32_t>(id);
    token.special = special.contents.count(content) != 0;
    token.normalized = !token.special;
    config->added_tokens.push_back(std::move(token));
  }
}

// Rejects unsupported settings that would change ids. transformers itself fails for most of them;
// all other settings that are not read here do not affect ids.
void RefuseSettings(const Json& config, const std::string& path) {
  const auto refuse_unless = [&](const char* key, bool is_harmless) {
    SQ_CHECK(is_harmless, path, ": ", Quoted(key), ": ",
             config[key].dump(-1, ' ', /*ensure_ascii=*/true).substr(0, 60), " is not supported");
  };
  for (const char* key :
       {"vocab", "merges", "tokenizer_object", "post_processor", "gguf_file", "add_tokens"}) {
    const auto found = config.find(key);
    if (found != config.end()) refuse_unless(key, found->is_null());
  }
  const auto add = config.find("add_special_tokens");
  if (add != config.end()) refuse_unless("add_special_tokens", *add != false);
  const auto inputs = config.find("init_inputs");
  if (inputs != config.end()) refuse_unless("init_inputs", inputs->empty());
  // Keys that make newer versions of transformers read another file than tokenizer.json.
  const auto names = config.find("fast_tokenizer_files");
  if (names == config.end()) return;
  refuse_unless("fast_tokenizer_files",
                std::all_of(names->begin(), names->end(),
                            [](const Json& name) { return name == "tokenizer.json"; }));
}

// A string in the config.json of the folder; empty if missing.
std::string ModelField(const std::string& path, const char* key) {
  const Json config = ReadObject(path);
  const auto found = config.find(key);
  return found != config.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string ReadTokenizerClass(const Json& config, const std::string& path,
                               const std::string& model_dir, const std::string& model_path) {
  const auto exists = [&](const char* name) {
    return FileExists((std::filesystem::path(model_dir) / name).string());
  };
  // Files saved by transformers 5 have this mark. The special tokens around a text are then those
  // of tokenizer.json, whatever the flags; transformers 4, where the class decides, does not write
  // such files.
  if (config.contains("backend") && exists("tokenizer.json")) return "TokenizersBackend";
  const auto found = config.find("tokenizer_class");
  std::string name;
  if (found != config.end() && !found->is_null())
    name = JsonString(config, "tokenizer_class", path);
  if (name.empty()) name = ModelField(model_path, "tokenizer_class");
  if (name.empty() && !exists("tokenizer.json")) {
    name = exists("tokenizer.model") ? "LlamaTokenizer"
                                     : TokenizerClassOfModel(ModelField(model_path, "model_type"));
  }
  return std::string(TokenizerClassName(name));
}

}  // namespace

TokenizerConfig ReadTokenizerConfig(const std::string& model_dir) {
  const auto path = [&](const char* name) {
    return (std::filesystem::path(model_dir) / name).string();
  };
  Files files;
  files.config_path = path("tokenizer_config.json");
  files.map_path = path("special_tokens_map.json");
  files.config = ReadObject(files.config_path);
  const auto decoder = files.config.find("added_tokens_decoder");
  const bool has_decoder = decoder != files.config.end();
  files.map = has_decoder ? Json::object() : ReadObject(files.map_path);
  RefuseSettings(files.config, files.config_path);

  TokenizerConfig config;
  const auto flag = [&](const char* key) { return Flag(files.config, key, files.config_path); };
  config.tokenizer_class =
      ReadTokenizerClass(files.config, files.config_path, model_dir, path("config.json"));
  const TokenizerClass* row = FindTokenizerClass(config.tokenizer_class);
  config.add_bos_token = flag("add_bos_token");
  config.add_eos_token = flag("add_eos_token");
  config.add_prefix_space = flag("add_prefix_space");
  if (!files.config.contains("add_prefix_space") && row != nullptr &&
      row->prefix_space == PrefixSpace::kNever) {
    config.add_prefix_space = false;
  }
  config.legacy = flag("legacy");
  config.split_special_tokens = flag("split_special_tokens").value_or(false);
  config.fix_mistral_regex = flag("fix_mistral_regex").value_or(false);
  if (config.fix_mistral_regex) config.model_type = ModelField(path("config.json"), "model_type");
  SpecialTokens special = ReadSpecialTokens(files, row, &config);
  config.has_added_tokens_decoder = has_decoder;
  if (has_decoder) {
    ReadAddedTokensDecoder(*decoder, files.config_path + ": added_tokens_decoder",
                           &config.added_tokens);
  } else {
    ReadAddedTokens(path("added_tokens.json"), special, &config);
  }
  config.special_tokens = std::move(special.list);
  std::stable_sort(config.added_tokens.begin(), config.added_tokens.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
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
