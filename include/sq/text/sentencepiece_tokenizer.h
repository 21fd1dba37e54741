// tokenizer.model: SentencePiece models as LLaMA uses them.
#pragma once

#include <memory>
#include <string>

#include "sq/text/tokenizer.h"
#include "sq/text/tokenizer_config.h"

namespace sq {

// Reads the model at `path`. BOS is added in front of a text unless `config` says otherwise, EOS
// only if it says so. Control tokens ("<s>", "</s>") and the unknown token that stand in a text
// become their ids, and the text between them is encoded by itself, as Hugging Face's
// LlamaTokenizer does with legacy=True, its default for files that say nothing. Throws sq::Error
// for a damaged file.
std::unique_ptr<Tokenizer> LoadSentencePieceTokenizer(const std::string& path,
                                                      const TokenizerConfig& config);

}  // namespace sq
