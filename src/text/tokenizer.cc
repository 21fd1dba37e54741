#include "sq/text/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/text/bpe_tokenizer.h"
#include "sq/text/sentencepiece_tokenizer.h"
#include "sq/text/tekken.h"
#include "sq/text/tiktoken.h"
#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_json.h"
#include "sq/text/vocab_merges.h"
#include "sq/text/xgen_vocabulary.h"

namespace sq {
namespace {

// Adds the tokens that `config` names and the tokenizer.json read into *parts lacks, as
// transformers does: each gets the id that the vocabulary has for it, or else the next free one.
void AddMissingTokens(const TokenizerConfig& config, const std::string& what, BpeParts* parts) {
  auto next = static_cast<int32_t>(parts->vocabulary.size());
  for (const AddedToken& token : parts->added_tokens) next = std::max(next, token.id + 1);
  const auto add = [&](AddedToken token) {
    const auto is_same = [&](const AddedToken& other) { return other.content == token.content; };
    const auto& known = parts->added_tokens;
    if (token.content.empty() || std::any_of(known.begin(), known.end(), is_same)) return;
    const auto found = parts->vocabulary.find(token.content);
    const int32_t id = found != parts->vocabulary.end() ? found->second : next++;
    SQ_CHECK(token.id < 0 || token.id == id, what, ": tokenizer_config.json: added token ",
             Quoted(token.content), " has id ", token.id, ", expected ", id);
    token.id = id;
    parts->added_tokens.push_back(std::move(token));
  };
  std::vector<AddedToken> added = config.added_tokens;
  std::sort(added.begin(), added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  for (AddedToken& token : added) add(std::move(token));
  for (const std::string& content : config.special_tokens) {
    AddedToken token;
    token.id = -1;
    token.content = content;
    token.special = true;
    add(std::move(token));
  }
}

// `config` with what transformers' LlamaTokenizerFast takes for granted: the rule of a
// tokenizer.json on what stands around a text is not asked.
TokenizerConfig WithDefaults(TokenizerConfig config) {
  if (config.tokenizer_class.rfind("LlamaTokenizer", 0) != 0) return config;
  if (!config.add_bos_token) config.add_bos_token = true;
  if (!config.add_eos_token) config.add_eos_token = false;
  if (!config.bos_token) config.bos_token = "<s>";
  if (!config.eos_token) config.eos_token = "</s>";
  return config;
}

}  // namespace

std::unique_ptr<Tokenizer> LoadTokenizer(const std::string& model_dir) {
  namespace fs = std::filesystem;
  const auto path = [&](const char* name) { return (fs::path(model_dir) / name).string(); };
  SQ_CHECK(IsFolder(model_dir), model_dir, ": not a folder");
  const TokenizerConfig config = ReadTokenizerConfig(model_dir);
  if (config.tokenizer_class == "XgenTokenizer") {
    return MakeBpeTokenizer(ReadXgenVocabulary(model_dir, config), config, model_dir);
  }
  const std::string json_path = path("tokenizer.json");
  const std::string model_path = path("tokenizer.model");
  if (FileExists(json_path)) {
    BpeParts parts = ParseTokenizerJson(ReadJsonFile(json_path), json_path);
    AddMissingTokens(config, model_dir, &parts);
    return MakeBpeTokenizer(std::move(parts), WithDefaults(config), json_path);
  }
  const std::string tekken_path = path("tekken.json");
  if (FileExists(tekken_path)) {
    TokenizerConfig named = config;
    BpeParts parts = ParseTekken(ReadJsonFile(tekken_path), tekken_path, &named);
    return MakeBpeTokenizer(std::move(parts), named, tekken_path);
  }
  if (const std::string rank_path = FindTiktokenFile(model_dir); !rank_path.empty()) {
    TokenizerConfig named = config;
    BpeParts parts = ReadTiktoken(rank_path, &named);
    return MakeBpeTokenizer(std::move(parts), named, rank_path);
  }
  if (FileExists(model_path)) return LoadSentencePieceTokenizer(model_path, config);
  const std::string vocabulary_path = path("vocab.json");
  const std::string merges_path = path("merges.txt");
  SQ_CHECK(FileExists(vocabulary_path) && FileExists(merges_path), model_dir,
           ": no tokenizer.json, tokenizer.model, or vocab.json and merges.txt in this folder");
  return MakeBpeTokenizer(ReadVocabularyAndMerges(vocabulary_path, merges_path, config), config,
                          vocabulary_path);
}

bool HasTokenizer(const std::string& model_dir) {
  const auto exists = [&](const char* name) {
    return FileExists((std::filesystem::path(model_dir) / name).string());
  };
  const auto names = {"tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json"};
  return std::any_of(names.begin(), names.end(), exists) || !FindTiktokenFile(model_dir).empty();
}

}  // namespace sq
