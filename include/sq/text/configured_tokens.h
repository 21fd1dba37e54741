// The added tokens of a tokenizer, once its configuration has been heard.
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

// The id that a vocabulary has for a token.
using FindId = std::function<std::optional<int32_t>(const std::string&)>;

// Adds the tokens that `config` names to *tokens, those of the tokenizer's own file, as
// transformers does: one that is not among them gets the id that the vocabulary of
// `vocabulary_size` tokens has for it, or else the next free one; of one that is, an
// "added_tokens_decoder" changes the properties. Where `config` asks for it, special tokens are
// hidden then. Throws sq::Error, opening with `what`, where `config` gives a token another id: one
// of the two is not that of the model.
void AddConfiguredTokens(const TokenizerConfig& config, int64_t vocabulary_size,
                         const FindId& find_id, const std::string& what,
                         std::vector<AddedToken>* tokens);
void AddConfiguredTokens(const TokenizerConfig& config, const std::string& what,
                         TokenizerParts* parts);

}  // namespace sq
