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
// gives:
// - tokenizer.json, taken as the tokenizers library takes it, whatever else is there. (Of LLaMA-2
//   and its kin the other file, tokenizer.model, gives the same ids but for special tokens within a
//   text, which those tokenizer.json files find at its start alone. transformers 5 builds a
//   tokenizer of its own from such a file where the class is LlamaTokenizer.)
// - else tekken.json: see tekken.h;
// - else a rank file of tiktoken, tokenizer.model among them: see tiktoken.h;
// - else tokenizer.model (SentencePiece), as the slow LlamaTokenizer;
// - else vocab.json and merges.txt, as GPT2Tokenizer;
// - where tokenizer_config.json names XgenTokenizer: see xgen_vocabulary.h.
// Throws sq::Error when the folder has none of them, when a file is damaged, or when it needs
// something that is not implemented, which the message names.
std::unique_ptr<Tokenizer> LoadTokenizer(const std::string& model_dir);

// Whether the folder has a file that LoadTokenizer reads a vocabulary from.
bool HasTokenizer(const std::string& model_dir);

}  // namespace sq
