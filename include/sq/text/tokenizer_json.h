// tokenizer.json of Hugging Face's tokenizers library: models of the types BPE and Unigram.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sq/text/tokenizer_parts.h"

namespace sq {

// Reads the contents of a tokenizer.json. Throws sq::Error, opening with `what`, for a component or
// option that is not implemented and for values that contradict each other. `truncation` and
// `padding` are not read: they are settings of a call, which Hugging Face's own callers reset.
TokenizerParts ParseTokenizerJson(const nlohmann::json& file, const std::string& what);

}  // namespace sq
