#include "sq/text/xgen_vocabulary.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/text/rank_vocabulary.h"
#include "sq/text/tokenizer_json.h"
#include "sq/text/vocab_merges.h"

namespace sq {
namespace {

constexpr const char* kEndOfText = "<|endoftext|>";
constexpr int kMaxSpaces = 31;
constexpr int kMaxTabs = 9;
constexpr int kDummies = 4;
constexpr int kMasks = 881;  // fill the vocabulary up to 51200 tokens

constexpr const char* kCodeTokens[] = {
    "<fim_prefix>",   "<fim_middle>",   "<fim_suffix>",     "<fim_pad>",      "<filename>",
    "<gh_stars>",     "<issue_start>",  "<issue_comment>",  "<issue_closed>", "<jupyter_start>",
    "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<empty_output>", "<commit_before>",
    "<commit_msg>",   "<commit_after>", "<reponame>"};

// GPT-2's vocabulary without "<|endoftext|>"; ids are ranks. *path: the file it was read from.
Vocabulary ReadGpt2Vocabulary(const std::string& model_dir, std::string* path) {
  const auto find = [&](const char* name) {
    *path = (std::filesystem::path(model_dir) / name).string();
    return FileExists(*path);
  };
  Vocabulary vocabulary;
  if (find("r50k_base.tiktoken")) {
    vocabulary = ReadRankFile(*path);
  } else if (find("vocab.json")) {
    vocabulary = ReadVocabulary(*path);
  } else if (find("tokenizer.json")) {
    vocabulary = ParseTokenizerJson(ReadJsonFile(*path), *path).vocabulary;
  } else {
    throw Error(StrCat(model_dir,
                       ": XGen's tokenizer needs GPT-2's vocabulary in this folder: vocab.json or "
                       "tokenizer.json of the model gpt2, or OpenAI's r50k_base.tiktoken"));
  }
  vocabulary.erase(kEndOfText);
  CheckRanks(vocabulary, *path + ": not GPT-2's vocabulary");
  return vocabulary;
}

}  // namespace

TokenizerParts ReadXgenVocabulary(const std::string& model_dir, const TokenizerConfig& config) {
  std::string path;
  Vocabulary vocabulary = ReadGpt2Vocabulary(model_dir, &path);
  auto next = static_cast<int32_t>(vocabulary.size());
  std::vector<AddedToken> added_tokens;
  const auto add = [&](const std::string& content) {
    AddedToken token;
    token.id = next++;
    token.content = content;
    token.special = content == kEndOfText;
    added_tokens.push_back(std::move(token));
  };
  add(kEndOfText);
  const auto add_runs = [&](char c, int longest) {
    for (int count = longest; count >= 2; --count) {
      vocabulary[SpellBytes(std::string(count, c))] = next++;
    }
  };
  add_runs(' ', kMaxSpaces);
  add_runs('\t', kMaxTabs);
  for (const char* content : kCodeTokens) add(content);
  for (int i = 0; i < kDummies; ++i) add(StrCat("<dummy_", i, ">"));
  add("<sep>");
  add("<eom>");
  for (int i = kMasks; i >= 1; --i) add(StrCat("<mask_", i, ">"));
  // A pad_token set by the user comes last.
  for (const NamedToken& named : config.special_tokens) {
    const std::string& content = named.token.content;
    const auto has_content = [&](const AddedToken& token) { return token.content == content; };
    const auto found = std::find_if(added_tokens.begin(), added_tokens.end(), has_content);
    if (found == added_tokens.end()) add(content);
  }
  TokenizerParts parts = MakeRankParts(std::move(vocabulary), kByteLevelPattern, path);
  parts.added_tokens = std::move(added_tokens);
  return parts;
}

}  // namespace sq
