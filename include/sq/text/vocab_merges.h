// vocab.json and merges.txt: the files of GPT-2's own tokenizer, which OPT and Qwen2 have too.
#pragma once

#include <string>

#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_parts.h"

namespace sq {

// Reads a vocab.json, {"token": id, ...}. Throws sq::Error for a damaged file.
Vocabulary ReadVocabulary(const std::string& path);

// Reads the two files of the folder. They say nothing of how texts are cut into words: that goes by
// the class of `config`. Neither added tokens nor what stands around a text are in them. Throws
// sq::Error for damaged files, and for a class whose rule is not known.
TokenizerParts ReadVocabularyAndMerges(const std::string& model_dir, const TokenizerConfig& config);

}  // namespace sq
