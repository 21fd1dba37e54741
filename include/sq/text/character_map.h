// SentencePiece's precompiled table of characters and what takes their place (NFKC and the like),
// as tokenizer.json's Precompiled normalizer holds it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sq {

// Immutable.
class CharacterMap {
 public:
  // Reads "precompiled_charsmap", decoded from base64: the size of a trie in bytes, the trie (units
  // of a double array, 32 bits each, as Darts-clone writes them) and the replacements, each closed
  // by a zero byte; little-endian. Throws sq::Error, opening with `what`, for damage that can be
  // seen without walking the trie; a walk that leaves it finds nothing.
  CharacterMap(std::string_view table, const std::string& what);

  // `text` (valid UTF-8) with the replacements, by Hugging Face's rule: a grapheme of less than 6
  // bytes that begins with a key of the table becomes the shortest such key's replacement, the
  // rest of it lost; in others each character is looked up by itself.
  std::string Apply(std::string_view text) const;

 private:
  // Appends the replacement of the shortest key that `text` begins with; false if there is none.
  bool Replace(std::string_view text, std::string* out) const;

  std::vector<uint32_t> trie_;
  std::string replacements_;
};

}  // namespace sq
