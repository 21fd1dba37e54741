// tokenizer.model: SentencePiece models as LLaMA uses them.
#pragma once

#include <memory>
#include <string>

#include "sq/text/tokenizer.h"
#include "sq/text/tokenizer_config.h"

namespace sq {

// Reads the model at `path`. BOS is added in front of a text unless `config` says otherwise, EOS
// only if it says so. Control tokens ("<s>", "</s>"), the unknown token and the tokens of `config`
// that stand in a text become their ids, and each text between them is encoded by itself: all as
// LLaMA's classes do in transformers 4. (But for tokens that are marked as normalized: its fast
// class finds these at the start of a text alone, its slow class, as here, everywhere.) With
// legacy, the default of files that say nothing, a space is put before each of those texts;
// without, before the first alone, if that begins with none; without add_prefix_space before none.
// Throws sq::Error for a damaged file, and for a class that is not LLaMA's.
std::unique_ptr<Tokenizer> LoadSentencePieceTokenizer(const std::string& path,
                                                      const TokenizerConfig& config);

}  // namespace sq
