// A model's tokenizer: text to token ids and back, ids equal to Hugging Face's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sq {

struct EncodeOptions {
  // Add what the model's own rule adds around a text (BOS, as a rule at the front only). The
  // default is Hugging Face's.
  bool add_special_tokens = true;
};

// Immutable; all functions may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // The ids of `text`, UTF-8. Added tokens ("<s>", "<|endoftext|>") that stand in the text become
  // their ids, as in Hugging Face's. Bytes that are not UTF-8 are first replaced as
  // ReplaceInvalidUtf8 says. Time O(n log n), for runs of one character too.
  virtual std::vector<int32_t> Encode(std::string_view text,
                                      const EncodeOptions& options = {}) const = 0;

  // The text of `ids`, valid UTF-8 (a character cut in two comes out as U+FFFD); no clean-up of
  // spaces. Ids without a token, which a model whose vocabulary is padded may give, are skipped, as
  // Hugging Face does.
  virtual std::string Decode(const std::vector<int32_t>& ids,
                             bool skip_special_tokens = false) const = 0;

  // One more than the largest id, added tokens included.
  virtual int64_t VocabularySize() const = 0;

  // What the model's files call bos_token and eos_token; none when they name none.
  virtual std::optional<int32_t> BosId() const = 0;
  virtual std::optional<int32_t> EosId() const = 0;
};

// The tokenizer of a Hugging Face model folder, with the ids that transformers 4's AutoTokenizer
// gives, and where 4 has no such tokenizer, those of 5:
// - tokenizer.json, whatever else is there, as the tokenizers library takes it;
//   tokenizer_config.json changes it as tokenizer_json_settings.h and configured_tokens.h say;
// - else tekken.json: see tekken.h;
// - else a rank file of tiktoken, tokenizer.model among them: see tiktoken.h;
// - else tokenizer.model (SentencePiece): see sentencepiece_tokenizer.h;
// - else vocab.json and merges.txt, by the rule of the class: see tokenizer_class.h;
// - where tokenizer_config.json names XgenTokenizer: see xgen_vocabulary.h.
// add_bos_token and add_eos_token are obeyed by the classes that do in transformers 4 (LLaMA's,
// CodeLlama's, Gemma's, Cohere's, GPT-NeoX's; without a tokenizer.json GPT-2's, for BOS); all
// others go by the tokenizer.json's post_processor. In transformers 5 all classes do, which counts
// for what it has saved and for a tokenizer.json that no class is named for.
//
// Throws sq::Error when the folder has none of these files, when one is damaged, or when it needs
// something that is not implemented, which the message names.
std::unique_ptr<Tokenizer> LoadTokenizer(const std::string& model_dir);

// Whether the folder has a file that LoadTokenizer reads a vocabulary from.
bool HasTokenizer(const std::string& model_dir);

}  // namespace sq
