#include "sq/text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include "sq/base/error.h"
#include "sq/base/file.h"
#include "sq/text/added_tokens.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

constexpr int64_t kMaxModelBytes = int64_t{256} << 20;

class SentencePieceTokenizer : public Tokenizer {
 public:
  SentencePieceTokenizer(const std::string& path, const TokenizerConfig& config) : what_(path) {
    const auto status = processor_.LoadFromSerializedProto(ReadFile(path, kMaxModelBytes));
    SQ_CHECK(status.ok(), path, ": not a SentencePiece model: ", status.message());
    std::vector<AddedToken> added;
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (!processor_.IsControl(id) && !processor_.IsUnknown(id)) continue;
      AddedToken token;
      token.id = id;
      token.content = processor_.IdToPiece(id);
      token.special = true;
      added.push_back(std::move(token));
    }
    added_tokens_ = AddedTokens(added);
    bos_id_ = Find(config.bos_token, processor_.bos_id());
    eos_id_ = Find(config.eos_token, processor_.eos_id());
    add_bos_ = config.add_bos_token.value_or(true);
    add_eos_ = config.add_eos_token.value_or(false);
  }

  std::vector<int32_t> Encode(std::string_view text, const EncodeOptions& options) const override {
    std::string replaced;
    if (!IsValidUtf8(text)) {
      replaced = ReplaceInvalidUtf8(text);
      text = replaced;
    }
    std::vector<int32_t> ids;
    if (options.add_special_tokens && add_bos_ && bos_id_) ids.push_back(*bos_id_);
    std::vector<TextPiece> pieces;
    added_tokens_.Split(text, &pieces);
    std::vector<int> piece_ids;
    for (const TextPiece& piece : pieces) {
      if (piece.id >= 0) {
        ids.push_back(piece.id);
        continue;
      }
      const auto status = processor_.Encode({piece.text.data(), piece.text.size()}, &piece_ids);
      SQ_CHECK(status.ok(), what_, ": cannot encode: ", status.message());
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
      SQ_CHECK(id >= 0 && id < processor_.GetPieceSize(), what_, ": no token has id ", id);
      if (!processor_.IsControl(id) && !processor_.IsUnknown(id)) {
        run.push_back(id);
        continue;
      }
      flush();
      if (!skip_special_tokens) text += processor_.IdToPiece(id);
    }
    flush();
    return IsValidUtf8(text) ? text : ReplaceInvalidUtf8(text);
  }

  int64_t VocabularySize() const override { return processor_.GetPieceSize(); }
  std::optional<int32_t> BosId() const override { return bos_id_; }
  std::optional<int32_t> EosId() const override { return eos_id_; }

 private:
  std::optional<int32_t> Find(const std::optional<std::string>& token, int fallback) const {
    if (token) {
      const int id = processor_.PieceToId(*token);
      if (processor_.IdToPiece(id) == *token) return id;
    }
    return fallback < 0 ? std::nullopt : std::optional<int32_t>(fallback);
  }

  std::string what_;
  sentencepiece::SentencePieceProcessor processor_;
  AddedTokens added_tokens_;
  std::optional<int32_t> bos_id_;
  std::optional<int32_t> eos_id_;
  bool add_bos_ = true;
  bool add_eos_ = false;
};

}  // namespace

std::unique_ptr<Tokenizer> LoadSentencePieceTokenizer(const std::string& path,
                                                      const TokenizerConfig& config) {
  return std::make_unique<SentencePieceTokenizer>(path, config);
}

}  // namespace sq
