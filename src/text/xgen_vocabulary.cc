#include "sq/text/xgen_vocabulary.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/text/tokenizer_json.h"
#include "sq/text/utf8.h"
#include "sq/text/vocab_merges.h"

namespace sq {
namespace {

constexpr int64_t kMaxRankFileBytes = int64_t{256} << 20;
constexpr const char* kEndOfText = "<|endoftext|>";
constexpr int kMostSpaces = 31;
constexpr int kMostTabs = 9;
constexpr int kDummies = 4;
constexpr int kMasks = 881;  // as many as fill the vocabulary of 51200

constexpr const char* kCodeTokens[] = {
    "<fim_prefix>",   "<fim_middle>",   "<fim_suffix>",     "<fim_pad>",      "<filename>",
    "<gh_stars>",     "<issue_start>",  "<issue_comment>",  "<issue_closed>", "<jupyter_start>",
    "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<empty_output>", "<commit_before>",
    "<commit_msg>",   "<commit_after>", "<reponame>"};

// The bytes of `text`, in base64 with padding. Throws sq::Error, opening with `what`.
std::string DecodeBase64(std::string_view text, const std::string& what) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  SQ_CHECK(!text.empty() && text.size() % 4 == 0, what, ": expected base64, found ", Quoted(text));
  size_t padding = 0;
  while (padding < 2 && text[text.size() - 1 - padding] == '=') ++padding;
  std::string bytes;
  uint32_t group = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_padding = i >= text.size() - padding;
    const size_t digit = is_padding ? 0 : kDigits.find(text[i]);
    SQ_CHECK(digit != std::string_view::npos, what, ": expected base64, found ", Quoted(text));
    group = group << 6 | static_cast<uint32_t>(digit);
    if (i % 4 != 3) continue;
    for (const int shift : {16, 8, 0}) bytes.push_back(static_cast<char>(group >> shift & 0xff));
    group = 0;
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

std::string Spell(std::string_view bytes) {
  std::string token;
  for (const char c : bytes) AppendUtf8(ByteLevelCharacter(static_cast<unsigned char>(c)), &token);
  return token;
}

Vocabulary ReadRanks(const std::string& path) {
  const std::string bytes = ReadFile(path, kMaxRankFileBytes);
  std::string_view text = bytes;
  Vocabulary vocabulary;
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty()) continue;
    const std::string what = StrCat(path, ", line ", number);
    const size_t space = line.find(' ');
    SQ_CHECK(space != std::string_view::npos, what,
             ": expected a token in base64, a space and its rank");
    const std::string_view rank = line.substr(space + 1);
    int32_t id = -1;
    const auto [stop, error] = std::from_chars(rank.data(), rank.data() + rank.size(), id);
    SQ_CHECK(error == std::errc() && stop == rank.data() + rank.size() && id >= 0, what,
             ": expected a rank, found ", Quoted(rank));
    vocabulary.emplace(Spell(DecodeBase64(line.substr(0, space), what)), id);
  }
  return vocabulary;
}

// GPT-2's tokens without "<|endoftext|>": all bytes, and ids that are ranks. *path: where from.
Vocabulary ReadGpt2Vocabulary(const std::string& model_dir, std::string* path) {
  const auto find = [&](const char* name) {
    *path = (std::filesystem::path(model_dir) / name).string();
    return FileExists(*path);
  };
  Vocabulary vocabulary;
  if (find("r50k_base.tiktoken")) {
    vocabulary = ReadRanks(*path);
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
  std::vector<bool> seen(vocabulary.size(), false);
  for (const auto& [token, id] : vocabulary) {
    const bool fits = id >= 0 && static_cast<size_t>(id) < seen.size() && !seen[id];
    SQ_CHECK(fits, *path, ": not GPT-2's vocabulary: token ", Quoted(token), " has id ", id,
             ", expected each of 0 to ", seen.size() - 1, " once");
    seen[id] = true;
  }
  for (int byte = 0; byte < 256; ++byte) {
    SQ_CHECK(vocabulary.count(Spell(std::string(1, static_cast<char>(byte)))) != 0, *path,
             ": not GPT-2's vocabulary: no token for byte ", byte);
  }
  return vocabulary;
}

// Every way to put a token together from two others.
std::vector<std::pair<std::string, std::string>> AllMerges(const Vocabulary& vocabulary) {
  std::vector<std::pair<std::string, std::string>> merges;
  for (const auto& entry : vocabulary) {
    const std::string_view token = entry.first;
    char32_t c;
    for (size_t at = DecodeUtf8(token, &c); at < token.size();
         at += DecodeUtf8(token.substr(at), &c)) {
      std::string left(token.substr(0, at));
      std::string right(token.substr(at));
      if (vocabulary.count(left) == 0 || vocabulary.count(right) == 0) continue;
      merges.emplace_back(std::move(left), std::move(right));
    }
  }
  return merges;
}

}  // namespace

BpeParts ReadXgenVocabulary(const std::string& model_dir, const TokenizerConfig& config) {
  BpeParts parts;
  std::string path;
  parts.vocabulary = ReadGpt2Vocabulary(model_dir, &path);
  auto next = static_cast<int32_t>(parts.vocabulary.size());
  const auto add = [&](const std::string& content) {
    AddedToken token;
    token.id = next++;
    token.content = content;
    token.special = content == kEndOfText;
    parts.added_tokens.push_back(std::move(token));
  };
  add(kEndOfText);
  const auto add_runs = [&](char c, int longest) {
    for (int count = longest; count >= 2; --count) {
      parts.vocabulary[Spell(std::string(count, c))] = next++;
    }
  };
  add_runs(' ', kMostSpaces);
  add_runs('\t', kMostTabs);
  for (const char* content : kCodeTokens) add(content);
  for (int i = 0; i < kDummies; ++i) add(StrCat("<dummy_", i, ">"));
  add("<sep>");
  add("<eom>");
  for (int i = kMasks; i >= 1; --i) add(StrCat("<mask_", i, ">"));
  // A pad_token of the user's own goes last.
  for (const NamedToken& named : config.special_tokens) {
    const std::string& content = named.token.content;
    const auto has_content = [&](const AddedToken& token) { return token.content == content; };
    const auto found =
        std::find_if(parts.added_tokens.begin(), parts.added_tokens.end(), has_content);
    if (found == parts.added_tokens.end()) add(content);
  }
  parts.merges = AllMerges(parts.vocabulary);
  parts.bpe.ignore_merges = true;
  parts.bpe.rank_by_id = true;
  std::vector<SplitStep> steps(1);
  steps[0].pattern.emplace(kByteLevelPattern, path);
  parts.pre_tokenizer = PreTokenizer(std::move(steps));
  parts.decoder.push_back({DecodeKind::kByteLevel, "", "", 0, 0});
  return parts;
}

}  // namespace sq
