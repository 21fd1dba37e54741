// SentencePiece's precompiled table of character replacements (NFKC and the like), as stored in the
// Precompiled normalizer of a tokenizer.json.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sq {

// Immutable.
class CharacterMap {
 public:
  // Reads "precompiled_charsmap", decoded from base64: the size of a trie in bytes, the trie
  // (32-bit units of a double array, in the format of Darts-clone) and the zero-terminated
  // replacements; little-endian. Throws sq::Error, beginning with `what`, for damage that is
  // visible without walking the trie; a walk that leaves the trie finds no match.
  CharacterMap(std::string_view table, const std::string& what);

  // Applies the replacements to `text` (valid UTF-8) by the rule of Hugging Face: a grapheme of
  // less than 6 bytes that begins with keys of the table is replaced as a whole by the replacement
  // of the shortest one; in longer graphemes each character is looked up by itself.
  std::string Apply(std::string_view text) const;

 private:
  // Appends the replacement of the shortest key that is a prefix of `text`; false if there is none.
  bool Replace(std::string_view text, std::string* out) const;

  std::vector<uint32_t> trie_;
  std::string replacements_;
};

}  // namespace sq
