// The tokenizer of GPT-2, LLaMA-3, SmolLM2 ...: BPE over the bytes of pre-tokenized words.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "sq/text/added_tokens.h"
#include "sq/text/bpe.h"
#include "sq/text/pre_tokenizer.h"
#include "sq/text/tokenizer.h"
#include "sq/text/tokenizer_config.h"

namespace sq {

// How GPT-2 cuts words (its encoder.py), and Hugging Face's ByteLevel pre-tokenizer with it.
inline constexpr const char* kByteLevelPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct ByteLevelParts {
  Vocabulary vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;  // by rank
  BpeOptions bpe;
  std::vector<AddedToken> added_tokens;
  PreTokenizer pre_tokenizer;
  std::vector<int32_t> prefix;  // what Encode adds before a text
  std::vector<int32_t> suffix;  // and after it
};

// Puts the parts together. What `config` says of adding BOS and EOS takes the place of the prefix
// and the suffix. Throws sq::Error, opening with `what`, when the parts contradict each other.
std::unique_ptr<Tokenizer> MakeByteLevelTokenizer(ByteLevelParts parts,
                                                  const TokenizerConfig& config,
                                                  const std::string& what);

}  // namespace sq
