// Merges the added tokens of tokenizer_config.json into those of a tokenizer.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sq/text/added_tokens.h"
#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_parts.h"

namespace sq {

// Looks up the id of a token in a vocabulary.
using FindId = std::function<std::optional<int32_t>(const std::string&)>;

// Adds the tokens that `config` names to *tokens, the tokens of the tokenizer's own file, as
// transformers does: a new token gets its id in the vocabulary of `vocabulary_size` tokens or else
// the next free id; for an existing one, an "added_tokens_decoder" overrides the properties.
// Finally special tokens are hidden if `config` says so. Throws sq::Error, beginning with `what`,
// when `config` gives a token another id than the file, since one of them cannot be that of the
// model.
void AddConfiguredTokens(const TokenizerConfig& config, int64_t vocabulary_size,
                         const FindId& find_id, const std::string& what,
                         std::vector<AddedToken>* tokens);
void AddConfiguredTokens(const TokenizerConfig& config, const std::string& what,
                         TokenizerParts* parts);

}  // namespace sq
