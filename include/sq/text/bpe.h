// Byte-pair encoding: one word to token ids by merging neighbours in the order of training.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sq {

// Token to id. Tokens are spelled as in the files: in byte-level characters (see
// ByteLevelCharacter).
using Vocabulary = std::unordered_map<std::string, int32_t>;

// The character that stands for `byte` in byte-level vocabularies: itself where it is printable
// Latin-1, else one from U+0100 on (GPT-2, bytes_to_unicode).
char32_t ByteLevelCharacter(unsigned char byte);

// Appends the bytes that `token` spells to *out; a token with a character that stands for no byte
// is appended as it is.
void AppendByteLevelBytes(std::string_view token, std::string* out);

struct BpeOptions {
  // A word that is a token as a whole is that token, whatever the merges say (LLaMA-3).
  bool ignore_merges = false;
  // What bytes without a token become; -1 drops them, as Hugging Face does without an unk_token.
  int32_t unknown_id = -1;
  // A run of such bytes becomes one unknown_id.
  bool fuse_unknown = false;
};

// Immutable; Encode may be called from several threads at once.
class Bpe {
 public:
  // `merges` in order of rank. Throws sq::Error, opening with `what`, when a merge's part or result
  // is not in the vocabulary.
  Bpe(const Vocabulary& vocabulary, const std::vector<std::pair<std::string, std::string>>& merges,
      const BpeOptions& options, const std::string& what);

  // Appends the ids of `word`, raw bytes, to *ids. Of all neighbours that merge, those of the
  // lowest rank do first, the leftmost of equals. O(n log n) for n bytes.
  void Encode(std::string_view word, std::vector<int32_t>* ids) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t id;
  };

  const Merge* Find(int32_t left, int32_t right) const;

  BpeOptions options_;
  std::array<int32_t, 256> byte_ids_;               // -1: no token
  std::unordered_map<uint64_t, Merge> merges_;      // left << 32 | right
  std::unordered_map<std::string, int32_t> words_;  // by bytes; only with ignore_merges
};

}  // namespace sq
