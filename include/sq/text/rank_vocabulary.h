// Vocabularies of bytes whose pairs merge by the rank of what comes of them: tiktoken's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_parts.h"

namespace sq {

// Whether the file at `path` begins as a rank file does: a token in base64, a space, its rank. By
// content, since SentencePiece's files go by the same name, tokenizer.model. False where there is
// none.
bool IsRankFile(const std::string& path);

// Reads such a file's contents, a token a line. Throws sq::Error, opening with `what` and the line,
// for damage and for a token that stands twice. The vocabulary is spelled in byte-level characters.
Vocabulary ParseRanks(std::string_view text, const std::string& what);

// ParseRanks of a file. Throws sq::Error too when it cannot be read.
Vocabulary ReadRankFile(const std::string& path);

// Throws sq::Error, opening with `what` (a file and what it should be), unless the ids of
// `vocabulary` are 0, 1, 2, ... and each byte has a token.
void CheckRanks(const Vocabulary& vocabulary, const std::string& what);

// The parts of a tokenizer that merges the tokens of `vocabulary` by their ids and decodes bytes. A
// word that is a token is that token; `pattern`, of which errors open with `what`, cuts words.
TokenizerParts MakeRankParts(Vocabulary vocabulary, const std::string& pattern,
                             const std::string& what);

// Lets texts begin with `config`'s BOS unless its add_bos_token is false, and end with its EOS if
// add_eos_token is true; each where it is among the added tokens.
void AddEnds(const TokenizerConfig& config, TokenizerParts* parts);

}  // namespace sq
