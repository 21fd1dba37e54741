// What a tokenizer_config.json changes in the tokenizer.json beside it, before that is parsed.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "sq/text/tokenizer_config.h"

namespace sq {

// Changes *file, the contents of a tokenizer.json, as transformers 4 does:
// - add_prefix_space takes the place of a ByteLevel pre-tokenizer's own; nothing else heeds it,
// - but LlamaTokenizer, which makes its normalizer and pre-tokenizer anew from add_prefix_space and
//   legacy (of vocabularies with byte_fallback, those of SentencePiece);
// - fix_mistral_regex takes the place of the split rule that large Mistral vocabularies had.
// What has another form than is expected is left to the parser.
void ApplySettings(const TokenizerConfig& config, nlohmann::json* file);

}  // namespace sq
