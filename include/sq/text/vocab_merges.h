// vocab.json and merges.txt: the files of GPT-2's own tokenizer, which OPT has too.
#pragma once

#include <string>

#include "sq/text/bpe_tokenizer.h"
#include "sq/text/tokenizer_config.h"

namespace sq {

// Reads a vocab.json, {"token": id, ...}. Throws sq::Error for a damaged file.
Vocabulary ReadVocabulary(const std::string& path);

// Reads the two files as Hugging Face's GPT2Tokenizer does: words by kByteLevelPattern; the tokens
// that `config` names (GPT-2's "<|endoftext|>" where it names none) are found in the text; BOS is
// added only if `config` says so. Throws sq::Error for damaged files and for tokens that are in
// neither the vocabulary nor the added tokens.
BpeParts ReadVocabularyAndMerges(const std::string& vocabulary_path, const std::string& merges_path,
                                 const TokenizerConfig& config);

}  // namespace sq
