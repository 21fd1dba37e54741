// tiktoken's rank files: vocabularies of byte strings in which pairs merge by the rank of the
// result.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_parts.h"

namespace sq {

// Whether the file at `path` begins like a rank file: a token in base64, a space, its rank. Decided
// by content, since SentencePiece models have the same name, tokenizer.model. False if the file
// does not exist.
bool IsRankFile(const std::string& path);

// Parses the contents of a rank file, one token per line. Throws sq::Error, beginning with `what`
// and the line, for damage and for duplicate tokens. The vocabulary is in byte-level characters.
Vocabulary ParseRanks(std::string_view text, const std::string& what);

// ParseRanks for a file. Also throws sq::Error when it cannot be read.
Vocabulary ReadRankFile(const std::string& path);

// Throws sq::Error, beginning with `what` (a file and what it should be), unless the ids of
// `vocabulary` are 0, 1, 2, ... and each byte has a token.
void CheckRanks(const Vocabulary& vocabulary, const std::string& what);

// The parts of a byte-level tokenizer that merges by the ids of `vocabulary`. A word that is a
// token is encoded as that token. `pattern` splits text into words; errors in it begin with `what`.
TokenizerParts MakeRankParts(Vocabulary vocabulary, const std::string& pattern,
                             const std::string& what);

// Makes texts begin with the BOS of `config` unless its add_bos_token is false, and end with its
// EOS if add_eos_token is true, provided that they are among the added tokens.
void AddBosAndEos(const TokenizerConfig& config, TokenizerParts* parts);

}  // namespace sq
