// tokenizer.model: SentencePiece models as LLaMA uses them.
#pragma once

#include <memory>
#include <string>

#include "sq/text/tokenizer.h"
#include "sq/text/tokenizer_config.h"

namespace sq {

// Reads the model at `path`. Texts begin with BOS unless `config` says otherwise, and end with EOS
// only if it says so. Control tokens ("<s>", "</s>"), the unknown token and the tokens of `config`
// are matched in the text, and each text between them is encoded by itself, as in the LLaMA classes
// of transformers 4. (Except for tokens marked as normalized: the fast class matches these only at
// the start of a text, the slow class, as here, everywhere.) With `legacy`, which is the default, a
// space is prepended to each of those texts; without it, only to the first and only if that does
// not begin with one; without add_prefix_space to none. Throws sq::Error for a damaged file, and
// for a class other than LLaMA's.
std::unique_ptr<Tokenizer> LoadSentencePieceTokenizer(const std::string& path,
                                                      const TokenizerConfig& config);

}  // namespace sq
