#include "sq/text/rank_vocabulary.h"

#include <array>
#include <charconv>
#include <fstream>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/text/base64.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

constexpr int64_t kMaxRankFileBytes = int64_t{256} << 20;
constexpr size_t kMaxFirstLine = 256;  // of files to be recognized

// Splits a line into token (not decoded yet) and rank; false if it is not a rank line.
bool SplitLine(std::string_view line, std::string_view* token, int32_t* rank) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0) return false;
  *token = line.substr(0, space);
  const char* end = line.data() + line.size();
  const auto [stop, error] = std::from_chars(line.data() + space + 1, end, *rank);
  return error == std::errc() && stop == end && *rank >= 0;
}

// Removes the first line from *text and returns it without its line end.
std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  std::string_view line = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// All ways to split a token into two others.
std::vector<std::pair<std::string, std::string>> AllMerges(const Vocabulary& vocabulary) {
  std::vector<std::pair<std::string, std::string>> merges;
  for (const auto& entry : vocabulary) {
    const std::string_view token = entry.first;
    char32_t c;
    for (size_t at = DecodeUtf8(token, &c); at < token.size();
         at += DecodeUtf8(token.substr(at), &c)) {
      std::string left(token.substr(0, at));
      if (vocabulary.count(left) == 0) continue;
      std::string right(token.substr(at));
      if (vocabulary.count(right) == 0) continue;
      merges.emplace_back(std::move(left), std::move(right));
    }
  }
  return merges;
}

}  // namespace

bool IsRankFile(const std::string& path) {
  if (!IsRegularFile(path)) return false;
  std::array<char, kMaxFirstLine> begin;
  std::ifstream file(path, std::ios::binary);
  file.read(begin.data(), begin.size());
  std::string_view text(begin.data(), static_cast<size_t>(file.gcount()));
  std::string_view token;
  int32_t rank;
  if (!SplitLine(TakeLine(&text), &token, &rank)) return false;
  try {
    DecodeBase64(token, path);
  } catch (const Error&) {
    return false;
  }
  return true;
}

Vocabulary ParseRanks(std::string_view text, const std::string& file_what) {
  Vocabulary vocabulary;
  for (int64_t number = 1; !text.empty(); ++number) {
    const std::string_view line = TakeLine(&text);
    if (line.empty()) continue;
    const std::string what = StrCat(file_what, ", line ", number);
    std::string_view token;
    int32_t rank;
    SQ_CHECK(SplitLine(line, &token, &rank), what,
             ": expected a token in base64, a space and its rank, found ", Quoted(line));
    const bool is_new = vocabulary.emplace(SpellBytes(DecodeBase64(token, what)), rank).second;
    SQ_CHECK(is_new, what, ": duplicate token");
  }
  return vocabulary;
}

Vocabulary ReadRankFile(const std::string& path) {
  return ParseRanks(ReadFile(path, kMaxRankFileBytes), path);
}

void CheckRanks(const Vocabulary& vocabulary, const std::string& what) {
  std::vector<bool> seen(vocabulary.size(), false);
  for (const auto& [token, id] : vocabulary) {
    const bool fits = id >= 0 && static_cast<size_t>(id) < seen.size() && !seen[id];
    SQ_CHECK(fits, what, ": token ", Quoted(token), " has id ", id, ", expected each of 0 to ",
             seen.size() - 1, " once");
    seen[id] = true;
  }
  for (int byte = 0; byte < 256; ++byte) {
    SQ_CHECK(vocabulary.count(SpellBytes(std::string(1, static_cast<char>(byte)))) != 0, what,
             ": no token for byte ", byte);
  }
}

TokenizerParts MakeRankParts(Vocabulary vocabulary, const std::string& pattern,
                             const std::string& what) {
  TokenizerParts parts;
  parts.vocabulary = std::move(vocabulary);
  parts.merges = AllMerges(parts.vocabulary);
  parts.bpe.ignore_merges = true;
  parts.bpe.rank_by_id = true;
  std::vector<SplitStep> steps(1);
  steps[0].pattern.emplace(pattern, what);
  parts.pre_tokenizer = PreTokenizer(std::move(steps));
  parts.decoder.push_back({DecodeKind::kByteLevel, "", "", 0, 0});
  return parts;
}

void AddBosAndEos(const TokenizerConfig& config, TokenizerParts* parts) {
  for (const AddedToken& token : parts->added_tokens) {
    if (config.add_bos_token.value_or(true) && config.bos_token == token.content) {
      parts->prefix = {token.id};
    }
    if (config.add_eos_token.value_or(false) && config.eos_token == token.content) {
      parts->suffix = {token.id};
    }
  }
}

}  // namespace sq
