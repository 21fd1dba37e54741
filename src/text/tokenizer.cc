#include "sq/text/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/text/configured_tokens.h"
#include "sq/text/sentencepiece_tokenizer.h"
#include "sq/text/tekken.h"
#include "sq/text/tiktoken.h"
#include "sq/text/tokenizer_class.h"
#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_json.h"
#include "sq/text/tokenizer_json_settings.h"
#include "sq/text/tokenizer_parts.h"
#include "sq/text/vocab_merges.h"
#include "sq/text/xgen_vocabulary.h"

namespace sq {
namespace {

// The id of a token that is added around a text.
int32_t AddedTokenId(const std::optional<std::string>& token, const char* key,
                     const TokenizerParts& parts, const std::string& model_dir) {
  SQ_CHECK(token, model_dir, ": tokenizer_config.json: ", Quoted(key),
           ": expected a token to add around each text, found null");
  for (const AddedToken& added : parts.added_tokens) {
    if (added.content == *token) return added.id;
  }
  const auto found = parts.vocabulary.find(*token);
  SQ_CHECK(found != parts.vocabulary.end(), model_dir, ": tokenizer_config.json: ", Quoted(key),
           ": ", Quoted(*token), " is not in the vocabulary");
  return found->second;
}

// Replaces the special tokens that the file adds around a text by those of the tokenizer's class.
void SetSpecialTokens(const TokenizerConfig& config, SpecialTokenRule rule, bool adds_bos,
                      const std::string& model_dir, TokenizerParts* parts) {
  const auto set = [&](const std::optional<std::string>& token, const char* key, bool is_added,
                       std::vector<int32_t>* ids) {
    ids->clear();
    if (is_added) ids->push_back(AddedTokenId(token, key, *parts, model_dir));
  };
  const bool bos = config.add_bos_token.value_or(adds_bos);
  switch (rule) {
    case SpecialTokenRule::kOfFile: return;
    case SpecialTokenRule::kNoBos:
      SQ_CHECK(!bos, model_dir, ": tokenizer_config.json: \"add_bos_token\": true: the class ",
               Quoted(config.tokenizer_class), " cannot add one");
      return;
    case SpecialTokenRule::kBosFlag: return set(config.bos_token, "bos_token", bos, &parts->prefix);
    case SpecialTokenRule::kBosAndEosFlags:
      set(config.bos_token, "bos_token", bos, &parts->prefix);
      return set(config.eos_token, "eos_token", config.add_eos_token.value_or(false),
                 &parts->suffix);
    case SpecialTokenRule::kClsAndSep:
      set(config.cls_token, "cls_token", true, &parts->prefix);
      return set(config.sep_token, "sep_token", true, &parts->suffix);
  }
}

std::unique_ptr<Tokenizer> LoadTokenizerJson(const std::string& model_dir, const std::string& path,
                                             const TokenizerConfig& config) {
  nlohmann::json file = ReadJsonFile(path);
  ApplySettings(config, &file);
  TokenizerParts parts = ParseTokenizerJson(file, path);
  file = nullptr;  // frees a large object
  AddConfiguredTokens(config, model_dir, &parts);
  if (const TokenizerClass* row = FindTokenizerClass(config.tokenizer_class)) {
    SetSpecialTokens(config, row->special_tokens, row->adds_bos, model_dir, &parts);
  }
  return MakeTokenizer(std::move(parts), config, path);
}

std::unique_ptr<Tokenizer> LoadVocabularyAndMerges(const std::string& model_dir,
                                                   const std::string& path,
                                                   const TokenizerConfig& config) {
  TokenizerParts parts = ReadVocabularyAndMerges(model_dir, config);
  AddConfiguredTokens(config, model_dir, &parts);
  const TokenizerClass* row =
      FindTokenizerClass(config.tokenizer_class);  // not null: otherwise there would be no parts
  SetSpecialTokens(config, row->vocab_merges_special_tokens, row->adds_bos, model_dir, &parts);
  return MakeTokenizer(std::move(parts), config, path);
}

std::unique_ptr<Tokenizer> LoadXgen(const std::string& model_dir, const TokenizerConfig& config) {
  TokenizerParts parts = ReadXgenVocabulary(model_dir, config);
  SetSpecialTokens(config, SpecialTokenRule::kBosAndEosFlags, /*adds_bos=*/false, model_dir,
                   &parts);
  return MakeTokenizer(std::move(parts), config, model_dir);
}

}  // namespace

std::unique_ptr<Tokenizer> LoadTokenizer(const std::string& model_dir) {
  namespace fs = std::filesystem;
  const auto path = [&](const char* name) { return (fs::path(model_dir) / name).string(); };
  SQ_CHECK(IsFolder(model_dir), model_dir, ": not a folder");
  const TokenizerConfig config = ReadTokenizerConfig(model_dir);
  if (config.tokenizer_class == "XgenTokenizer") return LoadXgen(model_dir, config);
  const std::string json_path = path("tokenizer.json");
  if (FileExists(json_path)) return LoadTokenizerJson(model_dir, json_path, config);
  const std::string model_path = path("tokenizer.model");
  const std::string tekken_path = path("tekken.json");
  if (FileExists(tekken_path)) {
    TokenizerConfig named = config;
    TokenizerParts parts = ParseTekken(ReadJsonFile(tekken_path), tekken_path, &named);
    return MakeTokenizer(std::move(parts), named, tekken_path);
  }
  if (const std::string rank_path = FindTiktokenFile(model_dir); !rank_path.empty()) {
    TokenizerConfig named = config;
    TokenizerParts parts = ReadTiktoken(rank_path, &named);
    return MakeTokenizer(std::move(parts), named, rank_path);
  }
  if (FileExists(model_path)) return LoadSentencePieceTokenizer(model_path, config);
  const std::string vocabulary_path = path("vocab.json");
  SQ_CHECK(FileExists(vocabulary_path) && FileExists(path("merges.txt")), model_dir,
           ": no tokenizer.json, tokenizer.model, or vocab.json and merges.txt in this folder");
  return LoadVocabularyAndMerges(model_dir, vocabulary_path, config);
}

bool HasTokenizer(const std::string& model_dir) {
  const auto exists = [&](const char* name) {
    return FileExists((std::filesystem::path(model_dir) / name).string());
  };
  const auto names = {"tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json"};
  return std::any_of(names.begin(), names.end(), exists) || !FindTiktokenFile(model_dir).empty();
}

}  // namespace sq
