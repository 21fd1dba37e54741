// tokenizer.json of Hugging Face's tokenizers library, as far as byte-level BPE goes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "sq/text/byte_level_tokenizer.h"

namespace sq {

// Whether the contents of a tokenizer.json ask for byte-level words, the kind that
// ParseTokenizerJson reads.
bool IsByteLevel(const nlohmann::json& file);

// Reads the contents of a tokenizer.json. Throws sq::Error, opening with `what`, for a component or
// option that is not implemented and for values that contradict each other. `truncation` and
// `padding` are not read: they are settings of a call, which Hugging Face's own callers reset.
ByteLevelParts ParseTokenizerJson(const nlohmann::json& file, const std::string& what);

}  // namespace sq
