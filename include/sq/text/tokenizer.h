// A model's tokenizer: text to token ids and back, with the same ids as Hugging Face's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sq {

struct EncodeOptions {
  // Add the special tokens that the model's tokenizer adds around a text (usually only BOS at the
  // start). The default is that of Hugging Face.
  bool add_special_tokens = true;
};

// Immutable; all functions may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // The ids of `text`. Added tokens in the text ("<s>", "<|endoftext|>") are matched, as in Hugging
  // Face. Invalid UTF-8 is first replaced as by ReplaceInvalidUtf8. O(n log n), also for long runs
  // of one character.
  virtual std::vector<int32_t> Encode(std::string_view text,
                                      const EncodeOptions& options = {}) const = 0;

  // The text of `ids` as valid UTF-8 (an incomplete character gives U+FFFD), without clean-up of
  // spaces. Ids without a token, which a model with a padded vocabulary may produce, are skipped,
  // as in Hugging Face.
  virtual std::string Decode(const std::vector<int32_t>& ids,
                             bool skip_special_tokens = false) const = 0;

  // One more than the largest id, added tokens included.
  virtual int64_t VocabularySize() const = 0;

  // The bos_token and eos_token that the model's files name, if any.
  virtual std::optional<int32_t> BosId() const = 0;
  virtual std::optional<int32_t> EosId() const = 0;
};

// The tokenizer of a Hugging Face model folder, with the ids of AutoTokenizer in transformers 4, or
// in transformers 5 if 4 does not support the tokenizer. The first of these that applies is used:
// - xgen_vocabulary.h, if tokenizer_config.json names XgenTokenizer;
// - tokenizer.json, as the tokenizers library reads it, with the changes of tokenizer_config.json
//   that tokenizer_json_settings.h and configured_tokens.h describe;
// - tekken.json: see tekken.h;
// - a rank file of tiktoken, which may be named tokenizer.model: see tiktoken.h;
// - tokenizer.model of SentencePiece: see sentencepiece_tokenizer.h;
// - vocab.json and merges.txt, by the rule of the class: see tokenizer_class.h.
//
// add_bos_token and add_eos_token are honored for the classes that honor them in transformers 4
// (those of LLaMA, CodeLlama, Gemma, Cohere, GPT-NeoX; without a tokenizer.json also GPT-2, for
// BOS). For all others, the post_processor of the tokenizer.json decides; so it does for files that
// transformers 5 has saved, where it decides for all classes, and for a tokenizer.json without a
// class.
//
// Throws sq::Error when the folder has none of these files, when one is damaged, or when it needs
// an unsupported feature, which the message names.
std::unique_ptr<Tokenizer> LoadTokenizer(const std::string& model_dir);

// Whether the folder has a file from which LoadTokenizer reads a vocabulary.
bool HasTokenizer(const std::string& model_dir);

}  // namespace sq
