// Applies the settings of a tokenizer_config.json to a tokenizer.json before it is parsed.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "sq/text/tokenizer_config.h"

namespace sq {

// Changes *file, the contents of a tokenizer.json, as transformers 4 does:
// - add_prefix_space replaces that of a ByteLevel pre-tokenizer and is otherwise ignored, except
//   that LlamaTokenizer rebuilds its normalizer and pre-tokenizer from add_prefix_space and legacy
//   (if the vocabulary has byte_fallback, those of SentencePiece);
// - fix_mistral_regex replaces the old split pattern of large Mistral vocabularies.
// Content of an unexpected form is left to the parser.
void ApplySettings(const TokenizerConfig& config, nlohmann::json* file);

}  // namespace sq
