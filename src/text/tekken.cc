#include "sq/text/tekken.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/text/base64.h"
#include "sq/text/rank_vocabulary.h"

namespace sq {
namespace {

using Json = nlohmann::json;

// The split pattern of all published files. It has the same meaning in tiktoken, for which it is
// written, and in Oniguruma, whose syntax Regex expects; other patterns might not.
constexpr const char* kPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// The special tokens of files that do not list them.
constexpr const char* kOldSpecialTokens[] = {"<unk>",
                                             "<s>",
                                             "</s>",
                                             "[INST]",
                                             "[/INST]",
                                             "[AVAILABLE_TOOLS]",
                                             "[/AVAILABLE_TOOLS]",
                                             "[TOOL_RESULTS]",
                                             "[/TOOL_RESULTS]",
                                             "[TOOL_CALLS]",
                                             "[IMG]",
                                             "<pad>",
                                             "[IMG_BREAK]",
                                             "[IMG_END]",
                                             "[PREFIX]",
                                             "[MIDDLE]",
                                             "[SUFFIX]",
                                             "[SYSTEM_PROMPT]",
                                             "[/SYSTEM_PROMPT]",
                                             "[TOOL_CONTENT]"};

constexpr int64_t kMaxSpecialTokens = 1 << 20;

// The contents of the special tokens, in order of their ids; "<SPECIAL_20>" and so on after those
// that the file names.
std::vector<std::string> SpecialNames(const Json& file, int64_t count, const std::string& what) {
  std::vector<std::string> names;
  const auto listed = file.find("special_tokens");
  if (listed == file.end() || listed->is_null()) {
    names.assign(std::begin(kOldSpecialTokens), std::end(kOldSpecialTokens));
  } else {
    SQ_CHECK(listed->is_array(), what, ": \"special_tokens\": expected an array, found ",
             JsonTypeName(*listed));
    names.resize(listed->size());
    for (const Json& token : *listed) {
      const std::string name = JsonString(token, "token_str", what + ": special_tokens");
      const int64_t rank = JsonInt(token, "rank", what + ": special_tokens");
      const bool fits = rank >= 0 && rank < static_cast<int64_t>(names.size()) && !name.empty() &&
                        names[rank].empty();
      SQ_CHECK(fits, what, ": special_tokens: ", Quoted(name), " has rank ", rank,
               ", expected each of 0 to ", names.size() - 1, " once");
      names[rank] = name;
    }
  }
  SQ_CHECK(static_cast<int64_t>(names.size()) <= count, what, ": ", names.size(),
           " special tokens, expected up to ", count);
  while (static_cast<int64_t>(names.size()) < count) {
    names.push_back(StrCat("<SPECIAL_", names.size(), ">"));
  }
  std::unordered_set<std::string> seen;
  for (const std::string& name : names) {
    SQ_CHECK(seen.insert(name).second, what, ": special token ", Quoted(name), " is a duplicate");
  }
  return names;
}

// The first `count` tokens by rank.
Vocabulary ReadVocabulary(const Json& file, int64_t count, const std::string& what) {
  const Json& list = JsonMember(file, "vocab", what);
  SQ_CHECK(list.is_array(), what, ": \"vocab\": expected an array, found ", JsonTypeName(list));
  SQ_CHECK(static_cast<int64_t>(list.size()) >= count, what, ": \"vocab\": expected ", count,
           " tokens, found ", list.size());
  Vocabulary vocabulary;
  vocabulary.reserve(count);
  const std::string vocabulary_what = what + ": vocab";
  for (int32_t rank = 0; rank < count; ++rank) {
    const int64_t found = JsonInt(list[rank], "rank", vocabulary_what);
    SQ_CHECK(found == rank, vocabulary_what, ": token ", rank, " has rank ", found);
    const std::string bytes =
        DecodeBase64(JsonString(list[rank], "token_bytes", vocabulary_what), vocabulary_what);
    SQ_CHECK(!bytes.empty() && vocabulary.emplace(SpellBytes(bytes), rank).second, vocabulary_what,
             ": token ", rank, " is empty or a duplicate");
  }
  return vocabulary;
}

}  // namespace

TokenizerParts ParseTekken(const Json& file, const std::string& what, TokenizerConfig* config) {
  const Json& settings = JsonMember(file, "config", what);
  const std::string settings_what = what + ": config";
  const std::string pattern = JsonString(settings, "pattern", settings_what);
  SQ_CHECK(pattern == kPattern, settings_what, ": pattern ", Quoted(pattern), " is not supported");
  const int64_t special = JsonInt(settings, "default_num_special_tokens", settings_what);
  const int64_t size = JsonInt(settings, "default_vocab_size", settings_what);
  SQ_CHECK(special >= 0 && special <= kMaxSpecialTokens && size >= special &&
               size <= std::numeric_limits<int32_t>::max(),
           settings_what, ": expected default_num_special_tokens (", special, ") of up to ",
           kMaxSpecialTokens, " and no more than default_vocab_size (", size, ")");
  const std::vector<std::string> names = SpecialNames(file, special, what);
  Vocabulary vocabulary = ReadVocabulary(file, size - special, what);
  CheckRanks(vocabulary, what);
  for (auto& entry : vocabulary) entry.second += static_cast<int32_t>(special);
  TokenizerParts parts = MakeRankParts(std::move(vocabulary), kPattern, what);
  if (!config->bos_token) config->bos_token = "<s>";
  if (!config->eos_token) config->eos_token = "</s>";
  for (const std::string& name : names) {
    AddedToken token;
    token.id = static_cast<int32_t>(parts.added_tokens.size());
    token.content = name;
    token.special = true;
    parts.added_tokens.push_back(std::move(token));
  }
  AddBosAndEos(*config, &parts);
  return parts;
}

}  // namespace sq
