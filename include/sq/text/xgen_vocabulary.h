// XGen's tokenizer, which the model's files implement as a Python module: an extension of GPT-2's
// vocabulary.
#pragma once

#include <string>

#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_parts.h"

namespace sq {

// Builds the tokenizer of XGen's tokenization_xgen.py from GPT-2's vocabulary, which is in
// `model_dir` as r50k_base.tiktoken (lines "<token in base64> <rank>"), vocab.json or
// tokenizer.json: runs of 31 to 2 spaces and of 9 to 2 tabs replace those of GPT-2, and added
// tokens follow. Pairs merge by the ids of their results, as in tiktoken. Throws sq::Error when the
// folder has none of the three files, or when one is damaged or has another kind of vocabulary.
TokenizerParts ReadXgenVocabulary(const std::string& model_dir, const TokenizerConfig& config);

}  // namespace sq
