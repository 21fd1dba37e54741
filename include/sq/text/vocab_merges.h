// vocab.json and merges.txt: the format of GPT-2's tokenizer, also used by OPT and Qwen2.
#pragma once

#include <string>

#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_parts.h"

namespace sq {

// Reads a vocab.json, {"token": id, ...}. Throws sq::Error for a damaged file.
Vocabulary ReadVocabulary(const std::string& path);

// Reads the two files of the folder. The split pattern, which they do not contain, is that of the
// class in `config`. Added tokens and special tokens around a text are not set. Throws sq::Error
// for damaged files, and for an unknown class.
TokenizerParts ReadVocabularyAndMerges(const std::string& model_dir, const TokenizerConfig& config);

}  // namespace sq
