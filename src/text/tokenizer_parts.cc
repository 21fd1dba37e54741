#include "sq/text/tokenizer_parts.h"

#include <unordered_set>

#include "sq/base/error.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

// Caches the ids of the words seen during one Encode: most words of a text are repeated.
class WordCache {
 public:
  explicit WordCache(const WordModel& model) : model_(model) {}

  void Append(std::string_view word, std::vector<int32_t>* ids) {
    if (word.size() > kMaxWordBytes) return model_.Encode(word, ids);
    key_.assign(word);
    const auto found = entries_.find(key_);
    if (found != entries_.end()) {
      const auto begin = pool_.begin() + found->second.begin;
      ids->insert(ids->end(), begin, begin + found->second.count);
      return;
    }
    const size_t before = ids->size();
    model_.Encode(word, ids);
    if (entries_.size() >= kMaxEntries) return;
    entries_.emplace(key_, Entry{pool_.size(), ids->size() - before});
    pool_.insert(pool_.end(), ids->begin() + static_cast<int64_t>(before), ids->end());
  }

 private:
  static constexpr size_t kMaxWordBytes = 64;
  static constexpr size_t kMaxEntries = 1 << 18;

  struct Entry {
    size_t begin;  // in pool_
    size_t count;
  };

  const WordModel& model_;
  std::string key_;
  std::unordered_map<std::string, Entry> entries_;
  std::vector<int32_t> pool_;
};

// The tokens to match before normalization, or after it. The latter are normalized themselves, as
// in Hugging Face, so that with a Prepend step they match only at the start of a text.
AddedTokens Select(const TokenizerParts& parts, bool normalized) {
  std::vector<AddedToken> selected;
  for (AddedToken token : parts.added_tokens) {
    if (token.normalized != normalized) continue;
    if (normalized) token.content = Normalize(parts.normalizer, token.content);
    selected.push_back(std::move(token));
  }
  return AddedTokens(selected);
}

std::unique_ptr<const WordModel> MakeModel(const TokenizerParts& parts, const std::string& what) {
  if (parts.unigram) return std::make_unique<Unigram>(*parts.unigram, what);
  return std::make_unique<Bpe>(parts.vocabulary, parts.merges, parts.bpe, what);
}

class WordTokenizer : public Tokenizer {
 public:
  WordTokenizer(TokenizerParts parts, const TokenizerConfig& config, const std::string& what)
      : model_(MakeModel(parts, what)),
        first_tokens_(Select(parts, /*normalized=*/false)),
        second_tokens_(Select(parts, /*normalized=*/true)),
        normalizer_(std::move(parts.normalizer)),
        pre_tokenizer_(std::move(parts.pre_tokenizer)),
        decoder_(std::move(parts.decoder)),
        prefix_(std::move(parts.prefix)),
        suffix_(std::move(parts.suffix)) {
    Vocabulary vocabulary = std::move(parts.vocabulary);
    for (const auto& [token, id] : vocabulary) AddToken(token, id, what);
    for (const AddedToken& token : parts.added_tokens) {
      const auto [entry, is_new] = vocabulary.emplace(token.content, token.id);
      SQ_CHECK(entry->second == token.id, what, ": added token ", Quoted(token.content), " has id ",
               token.id, ", expected ", entry->second);
      if (is_new) AddToken(token.content, token.id, what);
      if (token.special) special_ids_.insert(token.id);
    }
    const auto find = [&](const std::optional<std::string>& token) {
      const auto found = token ? vocabulary.find(*token) : vocabulary.end();
      return found == vocabulary.end() ? std::nullopt : std::optional<int32_t>(found->second);
    };
    bos_id_ = find(config.bos_token);
    eos_id_ = find(config.eos_token);
  }

  std::vector<int32_t> Encode(std::string_view text, const EncodeOptions& options) const override {
    std::string replaced;
    if (!IsValidUtf8(text)) {
      replaced = ReplaceInvalidUtf8(text);
      text = replaced;
    }
    std::vector<int32_t> ids;
    if (options.add_special_tokens) ids = prefix_;
    Regex::Scratch scratch;
    WordCache cache(*model_);
    std::vector<TextPiece> pieces;
    first_tokens_.Split(text, &pieces);
    for (const TextPiece& piece : pieces) {
      if (piece.id >= 0) {
        ids.push_back(piece.id);
        continue;
      }
      const std::string normalized = Normalize(normalizer_, piece.text);
      std::vector<TextPiece> parts;
      second_tokens_.Split(normalized, &parts);
      for (const TextPiece& part : parts) {
        if (part.id >= 0) {
          ids.push_back(part.id);
          continue;
        }
        const bool is_start =
            piece.text.data() == text.data() && part.text.data() == normalized.data();
        pre_tokenizer_.Split(part.text, is_start, &scratch,
                             [&](std::string_view word) { cache.Append(word, &ids); });
      }
    }
    if (options.add_special_tokens) ids.insert(ids.end(), suffix_.begin(), suffix_.end());
    return ids;
  }

  std::string Decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const override {
    std::vector<std::string> tokens;
    for (const int32_t id : ids) {
      const auto found = tokens_.find(id);
      if (found == tokens_.end()) continue;
      if (skip_special_tokens && special_ids_.count(id) != 0) continue;
      tokens.push_back(found->second);
    }
    return ReplaceInvalidUtf8(DecodeTokens(decoder_, std::move(tokens)));
  }

  int64_t VocabularySize() const override { return size_; }
  std::optional<int32_t> BosId() const override { return bos_id_; }
  std::optional<int32_t> EosId() const override { return eos_id_; }

 private:
  void AddToken(const std::string& token, int32_t id, const std::string& what) {
    const bool is_new = tokens_.emplace(id, token).second;
    SQ_CHECK(is_new, what, ": two tokens have id ", id, ", one of them ", Quoted(token));
    size_ = std::max(size_, int64_t{id} + 1);
  }

  std::unique_ptr<const WordModel> model_;
  AddedTokens first_tokens_;
  AddedTokens second_tokens_;
  std::vector<NormalizeStep> normalizer_;
  PreTokenizer pre_tokenizer_;
  std::vector<DecodeStep> decoder_;
  std::vector<int32_t> prefix_;
  std::vector<int32_t> suffix_;
  std::unordered_map<int32_t, std::string> tokens_;  // by id, as written in the files
  std::unordered_set<int32_t> special_ids_;
  int64_t size_ = 0;
  std::optional<int32_t> bos_id_;
  std::optional<int32_t> eos_id_;
};

}  // namespace

std::unique_ptr<Tokenizer> MakeTokenizer(TokenizerParts parts, const TokenizerConfig& config,
                                         const std::string& what) {
  return std::make_unique<WordTokenizer>(std::move(parts), config, what);
}

}  // namespace sq
