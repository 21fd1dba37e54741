// Byte-pair encoding: splits a word into tokens by merging adjacent symbols in the order of
// training.
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

// Token to id, with tokens as they are written in the files: byte-level vocabularies in byte-level
// characters (see ByteLevelCharacter), SentencePiece ones in plain text with "\u2581" for spaces.
using Vocabulary = std::unordered_map<std::string, int32_t>;

// The character that represents `byte` in byte-level vocabularies: the byte itself if it is
// printable Latin-1, else a character from U+0100 on (bytes_to_unicode of GPT-2).
char32_t ByteLevelCharacter(unsigned char byte);

// `bytes` in byte-level characters.
std::string SpellBytes(std::string_view bytes);

// Decodes the byte-level characters of `token` and appends the bytes to *out; a token with any
// other character is appended unchanged.
void AppendByteLevelBytes(std::string_view token, std::string* out);

// The same, but returns false and leaves *bytes unchanged if `token` has any other character.
bool SpellsBytes(std::string_view token, std::string* bytes);

// What the symbols are that merging starts from.
enum class BpeSymbols {
  kBytes,       // words are raw bytes, tokens byte-level characters (GPT-2)
  kCharacters,  // words and tokens are UTF-8 text (SentencePiece)
};

struct BpeOptions {
  BpeSymbols symbols = BpeSymbols::kBytes;
  // A word that is a token is encoded as that token regardless of the merges (LLaMA-3).
  bool ignore_merges = false;
  // A character without a token is encoded as the tokens of its UTF-8 bytes, "<0x00>" to "<0xFF>",
  // if all of these exist. Only with kCharacters.
  bool byte_fallback = false;
  // The token for bytes or characters without one; -1 drops them, as Hugging Face does without an
  // unk_token.
  int32_t unknown_id = -1;
  // A run of such bytes or characters gives a single unknown_id.
  bool fuse_unknown = false;
  // Merges are ranked by the id of the result, not by their position in the list (tiktoken).
  bool rank_by_id = false;
};

class Bpe : public WordModel {
 public:
  // `merges` in order of rank. Throws sq::Error, beginning with `what`, when a part or the result
  // of a merge is not in the vocabulary.
  Bpe(const Vocabulary& vocabulary, const std::vector<std::pair<std::string, std::string>>& merges,
      const BpeOptions& options, const std::string& what);

  // Appends the ids of `word` (valid UTF-8 if symbols are characters) to *ids. Pairs are merged in
  // order of rank, and from left to right among equal ranks. O(n log n) for n bytes.
  void Encode(std::string_view word, std::vector<int32_t>* ids) const override;

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };

  const Merge* Find(int32_t left, int32_t right) const;
  // The ids of the initial symbols.
  std::vector<int32_t> Symbols(std::string_view word) const;
  // Appends the tokens of the UTF-8 bytes of a character if all of them exist.
  bool AppendByteTokens(std::string_view character, std::vector<int32_t>* ids) const;

  BpeOptions options_;
  std::array<int32_t, 256> byte_ids_;  // -1: no token
  std::unordered_map<char32_t, int32_t> characters_;
  std::unordered_map<uint64_t, Merge> merges_;      // left << 32 | right
  std::unordered_map<std::string, int32_t> words_;  // as passed to Encode; only with ignore_merges
};

}  // namespace sq
