#include "sq/text/vocab_merges.h"

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/base/json.h"
#include "sq/text/tokenizer_class.h"

namespace sq {
namespace {

constexpr int64_t kMaxMergesBytes = int64_t{256} << 20;
// The split pattern of Qwen2: that of LLaMA-3, except that digits are split one by one.
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

// One merge "a b" per line; a first line that begins with "#version" is skipped.
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

SplitRule FindSplitRule(const std::string& model_dir, const TokenizerConfig& config) {
  const TokenizerClass* row = FindTokenizerClass(config.tokenizer_class);
  SQ_CHECK(row != nullptr || !config.tokenizer_class.empty(), model_dir,
           ": no tokenizer.json in this folder, and no tokenizer_class in tokenizer_config.json "
           "that would say how vocab.json and merges.txt are meant");
  SQ_CHECK(row != nullptr && row->split != SplitRule::kNone, model_dir,
           ": no tokenizer.json in this folder: how the class ", Quoted(config.tokenizer_class),
           " reads vocab.json and merges.txt is not known");
  return row->split;
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

TokenizerParts ReadVocabularyAndMerges(const std::string& model_dir,
                                       const TokenizerConfig& config) {
  const auto path = [&](const char* name) {
    return (std::filesystem::path(model_dir) / name).string();
  };
  const SplitRule rule = FindSplitRule(model_dir, config);
  TokenizerParts parts;
  parts.vocabulary = ReadVocabulary(path("vocab.json"));
  parts.merges = ReadMerges(path("merges.txt"));
  if (rule != SplitRule::kByteLevel) parts.normalizer.push_back({NormalizeKind::kNfc, "", ""});
  std::vector<SplitStep> steps;
  if (rule == SplitRule::kQwen2) {
    SplitStep& split = steps.emplace_back();
    split.pattern.emplace(kQwen2Pattern, model_dir);
  }
  SplitStep& bytes = steps.emplace_back();
  if (rule != SplitRule::kQwen2) bytes.pattern.emplace(kByteLevelPattern, model_dir);
  bytes.add_prefix_space = config.add_prefix_space.value_or(false);
  parts.pre_tokenizer = PreTokenizer(std::move(steps));
  parts.decoder.push_back({DecodeKind::kByteLevel, "", "", 0, 0});
  return parts;
}

}  // namespace sq
