#include "sq/text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/text/added_tokens.h"
#include "sq/text/configured_tokens.h"
#include "sq/text/normalizer.h"
#include "sq/text/tokenizer_class.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

constexpr int64_t kMaxModelBytes = int64_t{256} << 20;

constexpr std::string_view kSpaceSymbol = "\u2581";  // represents a space in pieces

// Appended to a serialized message, protocol buffers merge this into it: the normalizer_spec of
// ModelProto (field 3) with add_dummy_prefix (field 3) = false.
constexpr std::string_view kNoDummyPrefix("\x1a\x02\x18\x00", 4);

bool BeginsWith(std::string_view text, std::string_view begin) {
  return text.substr(0, begin.size()) == begin;
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::string& path, const TokenizerConfig& config)
      : what_(path),
        legacy_(config.legacy.value_or(true)),
        add_prefix_space_(config.add_prefix_space.value_or(true)) {
    std::string model = ReadFile(path, kMaxModelBytes);
    const TokenizerClass* row = FindTokenizerClass(config.tokenizer_class);
    SQ_CHECK(config.tokenizer_class.empty() || (row != nullptr && row->has_sentencepiece), path,
             ": no tokenizer.json beside it: how the class ", Quoted(config.tokenizer_class),
             " reads this file is not known");
    has_dummy_prefix_ = legacy_ && add_prefix_space_;
    if (!has_dummy_prefix_) model += kNoDummyPrefix;
    const auto status = processor_.LoadFromSerializedProto(model);
    SQ_CHECK(status.ok(), path, ": not a SentencePiece model: ", status.message());
    const std::vector<AddedToken> added = ReadAddedTokens(config);
    size_ = processor_.GetPieceSize();
    for (const AddedToken& token : added) {
      size_ = std::max(size_, int64_t{token.id} + 1);
      by_id_[token.id] = token;
    }
    added_tokens_ = AddedTokens(added);
    bos_id_ = Find(config.bos_token);
    eos_id_ = Find(config.eos_token);
    add_bos_ = config.add_bos_token.value_or(true);
    add_eos_ = config.add_eos_token.value_or(false);
    SQ_CHECK((!add_bos_ || bos_id_) && (!add_eos_ || eos_id_), path, ": ",
             add_bos_ && !bos_id_ ? "bos_token" : "eos_token",
             " of tokenizer_config.json: expected a token to add around each text, "
             "found null");
    if (processor_.unk_id() >= 0) unknown_ = processor_.IdToPiece(processor_.unk_id());
    unknown_length_ = EncodePiece(unknown_).size();
  }

  std::vector<int32_t> Encode(std::string_view text, const EncodeOptions& options) const override {
    std::string changed;
    if (!IsValidUtf8(text)) {
      changed = ReplaceInvalidUtf8(text);
      text = changed;
    }
    const bool begins_with_space = !legacy_ && !text.empty();
    if (begins_with_space) {
      changed = ReplaceAll(text, kSpaceSymbol, " ");
      if (add_prefix_space_ && changed[0] != ' ') changed.insert(0, kSpaceSymbol);
      text = changed;
    }
    std::vector<TextPiece> pieces;
    added_tokens_.Split(text, &pieces);
    // Removes the space that was added in front of a special token.
    if (begins_with_space && pieces.size() > 1 && pieces[0].text == kSpaceSymbol &&
        IsSpecial(pieces[1].id)) {
      pieces.erase(pieces.begin());
    }
    std::vector<int32_t> ids;
    if (options.add_special_tokens && add_bos_ && bos_id_) ids.push_back(*bos_id_);
    for (const TextPiece& piece : pieces) {
      if (piece.id >= 0) {
        ids.push_back(piece.id);
        continue;
      }
      const std::vector<int> piece_ids = EncodePiece(piece.text);
      ids.insert(ids.end(), piece_ids.begin(), piece_ids.end());
    }
    if (options.add_special_tokens && add_eos_ && eos_id_) ids.push_back(*eos_id_);
    return ids;
  }

  std::string Decode(const std::vector<int32_t>& ids, bool skip_special_tokens) const override {
    std::string text;
    std::vector<int> run;
    const auto flush = [&] {
      if (run.empty()) return;
      std::string decoded;
      const auto status = processor_.Decode(run, &decoded);
      SQ_CHECK(status.ok(), what_, ": cannot decode: ", status.message());
      text += decoded;
      run.clear();
    };
    for (const int32_t id : ids) {
      const auto added = by_id_.find(id);
      if (added == by_id_.end()) {
        if (id >= 0 && id < processor_.GetPieceSize()) run.push_back(id);
        continue;
      }
      flush();
      if (!skip_special_tokens || !added->second.special) text += added->second.content;
    }
    flush();
    return IsValidUtf8(text) ? text : ReplaceInvalidUtf8(text);
  }

  int64_t VocabularySize() const override { return size_; }
  std::optional<int32_t> BosId() const override { return bos_id_; }
  std::optional<int32_t> EosId() const override { return eos_id_; }

 private:
  std::vector<int> EncodePiece(std::string_view text) const {
    // Without a dummy prefix SentencePiece may drop a leading space. Hugging Face therefore
    // prepends the unknown token and removes its pieces afterwards.
    const bool guarded =
        !has_dummy_prefix_ && (BeginsWith(text, kSpaceSymbol) || BeginsWith(text, " "));
    std::string longer;
    if (guarded) {
      longer = unknown_;
      longer += text;
      text = longer;
    }
    std::vector<int> ids;
    const auto status = processor_.Encode({text.data(), text.size()}, &ids);
    SQ_CHECK(status.ok(), what_, ": cannot encode: ", status.message());
    if (guarded && ids.size() >= unknown_length_) {
      ids.erase(ids.begin(), ids.begin() + static_cast<int64_t>(unknown_length_));
    }
    return ids;
  }

  bool IsSpecial(int32_t id) const {
    const auto found = by_id_.find(id);
    return found != by_id_.end() && found->second.special;
  }

  // The tokens that are matched before SentencePiece sees the text: its control tokens, the unknown
  // token and those of `config`.
  std::vector<AddedToken> ReadAddedTokens(const TokenizerConfig& config) const {
    std::vector<AddedToken> added;
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (!processor_.IsControl(id) && !processor_.IsUnknown(id)) continue;
      AddedToken token;
      token.id = id;
      token.content = processor_.IdToPiece(id);
      token.special = true;
      added.push_back(std::move(token));
    }
    const auto find_id = [&](const std::string& content) {
      const int id = processor_.PieceToId(content);
      return processor_.IdToPiece(id) == content ? std::optional<int32_t>(id) : std::nullopt;
    };
    AddConfiguredTokens(config, processor_.GetPieceSize(), find_id, what_, &added);
    return added;
  }

  std::optional<int32_t> Find(const std::optional<std::string>& token) const {
    for (const auto& [id, added] : by_id_) {
      if (added.content == token) return id;
    }
    return std::nullopt;
  }

  std::string what_;
  bool legacy_;
  bool add_prefix_space_;
  bool has_dummy_prefix_;  // SentencePiece itself prepends a space
  sentencepiece::SentencePieceProcessor processor_;
  AddedTokens added_tokens_;
  std::map<int32_t, AddedToken> by_id_;  // control, unknown and added tokens
  int64_t size_ = 0;
  std::optional<int32_t> bos_id_;
  std::optional<int32_t> eos_id_;
  bool add_bos_ = true;
  bool add_eos_ = false;
  std::string unknown_;        // the text of the unknown token ...
  size_t unknown_length_ = 0;  // ... and the number of pieces of that text
};

}  // namespace

std::unique_ptr<Tokenizer> LoadSentencePieceTokenizer(const std::string& path,
                                                      const TokenizerConfig& config) {
  return std::make_unique<SentencePieceTokenizer>(path, config);
}

}  // namespace sq
