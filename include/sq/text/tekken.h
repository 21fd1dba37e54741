// tekken.json: the tokenizer of newer Mistral models (Nemo, Ministral), in the format of
// mistral_common.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_parts.h"

namespace sq {

// Parses the contents of a tekken.json. The special tokens have the first ids, the vocabulary the
// ids from default_num_special_tokens to default_vocab_size. Texts begin with BOS, as in
// mistral_common, unless *config says otherwise. Special tokens in the text are matched, as in
// transformers (mistral_common treats them as text). Sets the names of BOS and EOS in *config if
// missing. Throws sq::Error, beginning with `what`, for damage and for an unknown pattern.
TokenizerParts ParseTekken(const nlohmann::json& file, const std::string& what,
                           TokenizerConfig* config);

}  // namespace sq
