#include "sq/text/byte_level_tokenizer.h"

#include <unordered_set>

#include "sq/base/error.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

// Ids of the words seen during one Encode. Most words of a text are repeats.
class WordCache {
 public:
  explicit WordCache(const Bpe& bpe) : bpe_(bpe) {}

  void Append(std::string_view word, std::vector<int32_t>* ids) {
    if (word.size() > kMaxWordBytes) return bpe_.Encode(word, ids);
    key_.assign(word);
    const auto found = entries_.find(key_);
    if (found != entries_.end()) {
      const auto begin = pool_.begin() + found->second.begin;
      ids->insert(ids->end(), begin, begin + found->second.count);
      return;
    }
    const size_t before = ids->size();
    bpe_.Encode(word, ids);
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

  const Bpe& bpe_;
  std::string key_;
  std::unordered_map<std::string, Entry> entries_;
  std::vector<int32_t> pool_;
};

std::vector<AddedToken> Select(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> selected;
  for (const AddedToken& token : tokens) {
    if (token.normalized == normalized) selected.push_back(token);
  }
  return selected;
}

class ByteLevelTokenizer : public Tokenizer {
 public:
  ByteLevelTokenizer(ByteLevelParts parts, const TokenizerConfig& config, const std::string& what)
      : what_(what),
        bpe_(parts.vocabulary, parts.merges, parts.bpe, what),
        pre_tokenizer_(std::move(parts.pre_tokenizer)),
        first_tokens_(Select(parts.added_tokens, /*normalized=*/false)),
        second_tokens_(Select(parts.added_tokens, /*normalized=*/true)),
        prefix_(std::move(parts.prefix)),
        suffix_(std::move(parts.suffix)) {
    Vocabulary vocabulary = std::move(parts.vocabulary);
    for (const auto& [token, id] : vocabulary) AddBytes(token, id);
    for (const AddedToken& token : parts.added_tokens) {
      const auto [entry, is_new] = vocabulary.emplace(token.content, token.id);
      SQ_CHECK(entry->second == token.id, what, ": added token ", Quoted(token.content), " has id ",
               token.id, ", expected ", entry->second);
      if (is_new) AddBytes(token.content, token.id);
      if (token.special) special_ids_.insert(token.id);
    }
    const auto find = [&](const std::optional<std::string>& token) {
      const auto found = token ? vocabulary.find(*token) : vocabulary.end();
      return found == vocabulary.end() ? std::nullopt : std::optional<int32_t>(found->second);
    };
    bos_id_ = find(config.bos_token);
    eos_id_ = find(config.eos_token);
    Override(config.add_bos_token, bos_id_, &prefix_);
    Override(config.add_eos_token, eos_id_, &suffix_);
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
    WordCache cache(bpe_);
    std::vector<TextPiece> pieces;
    first_tokens_.Split(text, &pieces);
    std::vector<TextPiece> parts;
    for (const TextPiece& piece : pieces) {
      parts.clear();
      if (piece.id >= 0) {
        parts.push_back(piece);
      } else {
        second_tokens_.Split(piece.text, &parts);
      }
      for (const TextPiece& part : parts) {
        if (part.id >= 0) {
          ids.push_back(part.id);
          continue;
        }
        pre_tokenizer_.Split(part.text, &scratch,
                             [&](std::string_view word) { cache.Append(word, &ids); });
      }
    }
    if (options.add_special_tokens) ids.insert(ids.end(), suffix_.begin(), suffix_.end());
    return ids;
  }

  std::string Decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const override {
    std::string bytes;
    for (const int32_t id : ids) {
      const auto found = bytes_.find(id);
      SQ_CHECK(found != bytes_.end(), what_, ": no token has id ", id);
      if (skip_special_tokens && special_ids_.count(id) != 0) continue;
      bytes += found->second;
    }
    return IsValidUtf8(bytes) ? bytes : ReplaceInvalidUtf8(bytes);
  }

  int64_t VocabularySize() const override { return size_; }
  std::optional<int32_t> BosId() const override { return bos_id_; }
  std::optional<int32_t> EosId() const override { return eos_id_; }

 private:
  void AddBytes(const std::string& token, int32_t id) {
    std::string bytes;
    AppendByteLevelBytes(token, &bytes);
    const bool is_new = bytes_.emplace(id, std::move(bytes)).second;
    SQ_CHECK(is_new, what_, ": two tokens have id ", id, ", one of them ", Quoted(token));
    size_ = std::max(size_, int64_t{id} + 1);
  }

  // Lets tokenizer_config.json decide what stands at one end, as Hugging Face does where it says
  // so.
  static void Override(const std::optional<bool>& add, const std::optional<int32_t>& id,
                       std::vector<int32_t>* end) {
    if (!add) return;
    end->clear();
    if (*add && id) end->push_back(*id);
  }

  std::string what_;
  Bpe bpe_;
  PreTokenizer pre_tokenizer_;
  AddedTokens first_tokens_;
  AddedTokens second_tokens_;
  std::vector<int32_t> prefix_;
  std::vector<int32_t> suffix_;
  std::unordered_map<int32_t, std::string> bytes_;  // by id
  std::unordered_set<int32_t> special_ids_;
  int64_t size_ = 0;
  std::optional<int32_t> bos_id_;
  std::optional<int32_t> eos_id_;
};

}  // namespace

std::unique_ptr<Tokenizer> MakeByteLevelTokenizer(ByteLevelParts parts,
                                                  const TokenizerConfig& config,
                                                  const std::string& what) {
  return std::make_unique<ByteLevelTokenizer>(std::move(parts), config, what);
}

}  // namespace sq
