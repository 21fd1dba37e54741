// tokenizer.json of Hugging Face's tokenizers library, with models of type BPE and Unigram.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sq/text/tokenizer_parts.h"

namespace sq {

// Parses the contents of a tokenizer.json. Throws sq::Error, beginning with `what`, for unsupported
// components or options and for inconsistent values. `truncation` and `padding` are ignored: they
// are settings of a call, which the callers in Hugging Face reset.
TokenizerParts ParseTokenizerJson(const nlohmann::json& file, const std::string& what);

}  // namespace sq
