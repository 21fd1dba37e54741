// The tokenizers that cut a text into words and each word into tokens. Most merge pairs by rank:
// byte-level ones (GPT-2, LLaMA-3, Qwen2, SmolLM2, XGen) and SentencePiece's kind as a
// tokenizer.json holds it (LLaMA-2, Mistral); Unigram chooses pieces by score (T5, XLM-R).
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

// How GPT-2 cuts words (its encoder.py), and Hugging Face's ByteLevel pre-tokenizer with it.
inline constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct TokenizerParts {
  Vocabulary vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;  // by rank
  BpeOptions bpe;
  // In the place of merges and bpe; its pieces are the vocabulary's tokens.
  std::optional<UnigramOptions> unigram;
  std::vector<AddedToken> added_tokens;
  std::vector<NormalizeStep> normalizer;
  PreTokenizer pre_tokenizer;
  std::vector<DecodeStep> decoder;
  std::vector<int32_t> prefix;  // what Encode adds before a text
  std::vector<int32_t> suffix;  // and after it
};

// Puts the parts together; `config` names BOS and EOS. Throws sq::Error, opening with `what`, when
// the parts contradict each other.
std::unique_ptr<Tokenizer> MakeTokenizer(TokenizerParts parts, const TokenizerConfig& config,
                                         const std::string& what);

}  // namespace sq
