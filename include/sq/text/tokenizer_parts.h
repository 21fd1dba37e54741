// Tokenizers that split a text into words and each word into tokens, assembled from their parts.
// Words are encoded by BPE, byte-level (GPT-2, LLaMA-3, Qwen2, SmolLM2, XGen) or
// SentencePiece-style as in a tokenizer.json (LLaMA-2, Mistral), or by Unigram (T5, XLM-R).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sq/text/added_tokens.h"
#include "sq/text/bpe.h"
#include "sq/text/normalizer.h"
#include "sq/text/pre_tokenizer.h"
#include "sq/text/token_decoder.h"
#include "sq/text/tokenizer.h"
#include "sq/text/tokenizer_config.h"
#include "sq/text/unigram.h"

namespace sq {

// The split pattern of GPT-2 (encoder.py) and of Hugging Face's ByteLevel pre-tokenizer.
inline constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct TokenizerParts {
  Vocabulary vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;  // by rank
  BpeOptions bpe;
  // Used instead of merges and bpe if set; its pieces are the tokens of the vocabulary.
  std::optional<UnigramOptions> unigram;
  std::vector<AddedToken> added_tokens;
  std::vector<NormalizeStep> normalizer;
  PreTokenizer pre_tokenizer;
  std::vector<DecodeStep> decoder;
  std::vector<int32_t> prefix;  // ids that Encode adds before a text
  std::vector<int32_t> suffix;  // and after it
};

// Makes a tokenizer of the parts; `config` names BOS and EOS. Throws sq::Error, beginning with
// `what`, when the parts are inconsistent.
std::unique_ptr<Tokenizer> MakeTokenizer(TokenizerParts parts, const TokenizerConfig& config,
                                         const std::string& what);

}  // namespace sq
