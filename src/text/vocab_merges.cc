#include "sq/text/vocab_merges.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"

namespace sq {
namespace {

constexpr int64_t kMaxMergesBytes = int64_t{256} << 20;
constexpr const char* kDefaultSpecialToken = "<|endoftext|>";

// A merge a line, "a b"; a first line that begins with "#version" is none.
std::vector<std::pair<std::string, std::string>> ReadMerges(const std::string& path) {
  const std::string bytes = ReadFile(path, kMaxMergesBytes);
  std::string_view text = bytes;
  std::vector<std::pair<std::string, std::string>> merges;
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || (number == 1 && line.rfind("#version", 0) == 0)) continue;
    const size_t space = line.find(' ');
    SQ_CHECK(space != std::string_view::npos && line.find(' ', space + 1) == std::string_view::npos,
             path, ", line ", number, ": expected two tokens and a space between them");
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

}  // namespace

Vocabulary ReadVocabulary(const std::string& path) {
  const nlohmann::json file = ReadJsonFile(path);
  SQ_CHECK(file.is_object(), path, ": expected an object, found ", JsonTypeName(file));
  Vocabulary vocabulary;
  vocabulary.reserve(file.size());
  for (const auto& [token, value] : file.items()) {
    SQ_CHECK(value.is_number_integer(), path, ": token ", Quoted(token),
             ": expected an integer, found ", JsonTypeName(value));
    const auto id = value.get<int64_t>();
    SQ_CHECK(id >= 0 && id <= std::numeric_limits<int32_t>::max(), path, ": token ", Quoted(token),
             ": expected an id from 0 to 2147483647, found ", id);
    vocabulary.emplace(token, static_cast<int32_t>(id));
  }
  return vocabulary;
}

BpeParts ReadVocabularyAndMerges(const std::string& vocabulary_path, const std::string& merges_path,
                                 const TokenizerConfig& config) {
  BpeParts parts;
  parts.vocabulary = ReadVocabulary(vocabulary_path);
  parts.merges = ReadMerges(merges_path);
  parts.added_tokens = config.added_tokens;
  std::vector<std::string> special = config.special_tokens;
  if (special.empty()) special.emplace_back(kDefaultSpecialToken);
  for (const std::string& content : special) {
    AddedToken* known = nullptr;
    for (AddedToken& token : parts.added_tokens) {
      if (token.content == content) known = &token;
    }
    if (known != nullptr) {
      known->special = true;
      continue;
    }
    const auto found = parts.vocabulary.find(content);
    SQ_CHECK(found != parts.vocabulary.end(), vocabulary_path, ": special token ", Quoted(content),
             " is not in the vocabulary");
    AddedToken token;
    token.id = found->second;
    token.content = content;
    token.special = true;
    parts.added_tokens.push_back(std::move(token));
  }
  std::vector<SplitStep> steps(1);
  steps[0].pattern.emplace(kByteLevelPattern, vocabulary_path);
  steps[0].add_prefix_space = config.add_prefix_space.value_or(false);
  parts.pre_tokenizer = PreTokenizer(std::move(steps));
  parts.decoder.push_back({DecodeKind::kByteLevel, "", "", 0, 0});
  return parts;
}

}  // namespace sq
