// XGen's tokenizer, which its own files leave to a Python module: GPT-2's vocabulary and more.
#pragma once

#include <string>

#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_parts.h"

namespace sq {

// Puts together what XGen's tokenization_xgen.py does from GPT-2's vocabulary, which stands in
// `model_dir` as r50k_base.tiktoken (lines "<token in base64> <rank>"), vocab.json or
// tokenizer.json: runs of 31 to 2 spaces and of 9 to 2 tabs, which take the place of GPT-2's own,
// then the tokens that are looked for in texts. Pairs merge as in tiktoken: that whose result has
// the lowest id does first. Throws sq::Error when the folder has none of the three files, when one
// is damaged or holds another kind of vocabulary.
TokenizerParts ReadXgenVocabulary(const std::string& model_dir, const TokenizerConfig& config);

}  // namespace sq
