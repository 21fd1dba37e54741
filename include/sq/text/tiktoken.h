// Rank files of tiktoken that models are published with: tokenizer.model of LLaMA-3 and others,
// qwen.tiktoken, o200k_base.tiktoken. They contain only a vocabulary.
#pragma once

#include <string>

#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_parts.h"

namespace sq {

// The path of the rank file in the folder `model_dir`; empty if there is none.
std::string FindTiktokenFile(const std::string& model_dir);

// Reads the rank file at `path`. The split pattern, the special tokens after the vocabulary and the
// use of BOS are built in for these encodings, which are recognized by the number of tokens, or by
// the file name if it is unique to an encoding:
//   r50k_base (GPT-2), cl100k_base, o200k_base (with the special tokens of gpt-oss), Qwen, LLaMA-3
//   (those of 3.1 on), LLaMA-4
// The last two begin a text with BOS unless *config says otherwise. Added tokens of *config after
// the vocabulary replace the built-in ones. Special tokens in the text are matched, as in Hugging
// Face and in Qwen's own tokenizer. Sets the names of BOS and EOS in *config if missing or not the
// name of a token. Throws sq::Error for a damaged file and for an unknown encoding.
TokenizerParts ReadTiktoken(const std::string& path, TokenizerConfig* config);

}  // namespace sq
