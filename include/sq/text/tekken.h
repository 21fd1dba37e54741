// tekken.json: the tokenizer of Mistral's newer models (Nemo, Ministral) as mistral_common has it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_parts.h"

namespace sq {

// Reads the contents of a tekken.json: the special tokens have the first ids, the vocabulary the
// ids from default_num_special_tokens on, up to default_vocab_size. A text begins with BOS, as
// mistral_common's models are asked, unless *config says otherwise; special tokens that stand in it
// are found, as transformers does (mistral_common takes them for text). *config gets the names of
// BOS and EOS that it lacks. Throws sq::Error, opening with `what`, for damage and for a pattern
// that is not known.
TokenizerParts ParseTekken(const nlohmann::json& file, const std::string& what,
                           TokenizerConfig* config);

}  // namespace sq
