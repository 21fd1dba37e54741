// tokenizer.model: SentencePiece models as LLaMA uses them.
#pragma once

#include <memory>
#include <string>

#include "sq/text/tokenizer.h"
#include "sq/text/tokenizer_config.h"

namespace sq {

// Reads the model at `path`. BOS is added in front of a text unless `config` says otherwise, EOS
// only if it says so. Control tokens ("<s>", "</s>"), the unknown token and the added tokens of
// `config` that stand in a text become their ids, and each text between them is encoded by itself:
// all as Hugging Face's slow LlamaTokenizer does (transformers 4). With legacy, the default of
// files that say nothing, a space is put before each of those texts; without, before the first
// alone. Throws sq::Error for a damaged file.
std::unique_ptr<Tokenizer> LoadSentencePieceTokenizer(const std::string& path,
                                                      const TokenizerConfig& config);

}  // namespace sq
