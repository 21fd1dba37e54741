// Rank files of tiktoken as models are published with: tokenizer.model of LLaMA-3 and its like,
// qwen.tiktoken, o200k_base.tiktoken. They hold a vocabulary and nothing else.
#pragma once

#include <string>

#include "sq/text/tokenizer_config.h"
#include "sq/text/tokenizer_parts.h"

namespace sq {

// The path of the rank file in the folder `model_dir`, or "" if it has none.
std::string FindTiktokenFile(const std::string& model_dir);

// Reads the rank file at `path`. How words are cut, which special tokens follow the vocabulary and
// whether a text begins with one is known of some encodings, which are told by how many tokens a
// file has, or by its name where the encoding alone goes by it:
//   r50k_base (GPT-2), cl100k_base, o200k_base (with the special tokens of gpt-oss), Qwen, LLaMA-3
//   (those of 3.1 on), LLaMA-4
// The last two begin a text with BOS unless *config says otherwise. Where it has added tokens
// behind the vocabulary, those take the place of the known ones. Special tokens are found in texts,
// as Hugging Face and Qwen's own tokenizer do. *config gets the names of BOS and EOS, in the place
// of names that no token has too. Throws sq::Error for a damaged file and for an encoding that is
// not known.
TokenizerParts ReadTiktoken(const std::string& path, TokenizerConfig* config);

}  // namespace sq
