// Byte-pair encoding: one word to token ids by merging neighbours in the order of training.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sq/text/word_model.h"

namespace sq {

// Token to id, spelled as in the files: byte-level vocabularies in byte-level characters (see
// ByteLevelCharacter), SentencePiece ones in plain text with "\u2581" for spaces.
using Vocabulary = std::unordered_map<std::string, int32_t>;

// The character that stands for `byte` in byte-level vocabularies: itself where it is printable
// Latin-1, else one from U+0100 on (GPT-2, bytes_to_unicode).
char32_t ByteLevelCharacter(unsigned char byte);

// `bytes` in byte-level characters.
std::string SpellBytes(std::string_view bytes);

// Appends the bytes that `token` spells to *out; a token with a character that stands for no byte
// is appended as it is.
void AppendByteLevelBytes(std::string_view token, std::string* out);

// False, with *bytes as it was, if a character of `token` stands for no byte.
bool SpellsBytes(std::string_view token, std::string* bytes);

// What the vocabulary spells and merging begins with.
enum class BpeSymbols {
  kBytes,       // words are raw bytes, tokens byte-level characters (GPT-2)
  kCharacters,  // words and tokens are UTF-8 text (SentencePiece)
};

struct BpeOptions {
  BpeSymbols symbols = BpeSymbols::kBytes;
  // A word that is a token as a whole is that token, whatever the merges say (LLaMA-3).
  bool ignore_merges = false;
  // A character without a token becomes the tokens of its UTF-8 bytes, "<0x00>" to "<0xFF>", where
  // all of those exist. Only with kCharacters.
  bool byte_fallback = false;
  // What bytes or characters without a token become; -1 drops them, as Hugging Face does without an
  // unk_token.
  int32_t unknown_id = -1;
  // A run of such bytes or characters becomes one unknown_id.
  bool fuse_unknown = false;
  // A merge ranks by the id of its result, not by its place in the list (tiktoken).
  bool rank_by_id = false;
};

class Bpe : public WordModel {
 public:
  // `merges` in order of rank. Throws sq::Error, opening with `what`, when a merge's part or result
  // is not in the vocabulary.
  Bpe(const Vocabulary& vocabulary, const std::vector<std::pair<std::string, std::string>>& merges,
      const BpeOptions& options, const std::string& what);

  // Appends the ids of `word` (valid UTF-8 if symbols are characters) to *ids. Of all neighbours
  // that merge, those of the lowest rank do first, the leftmost of equals. O(n log n) for n bytes.
  void Encode(std::string_view word, std::vector<int32_t>* ids) const override;

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };

  const Merge* Find(int32_t left, int32_t right) const;
  // The ids that merging begins with.
  std::vector<int32_t> Symbols(std::string_view word) const;
  // Appends the tokens of a character's UTF-8 bytes, if all of them exist.
  bool AppendByteTokens(std::string_view character, std::vector<int32_t>* ids) const;

  BpeOptions options_;
  std::array<int32_t, 256> byte_ids_;  // -1: no token
  std::unordered_map<char32_t, int32_t> characters_;
  std::unordered_map<uint64_t, Merge> merges_;      // left << 32 | right
  std::unordered_map<std::string, int32_t> words_;  // as Encode gets them; only with ignore_merges
};

}  // namespace sq
