// Tokens that are matched in the text before it is split in any other way, such as "<|endoftext|>".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sq/text/regex.h"

namespace sq {

struct AddedToken {
  int32_t id = 0;
  std::string content;       // the text to match; UTF-8
  bool special = false;      // skipped by Decode(skip_special_tokens)
  bool single_word = false;  // only if no word character is adjacent
  bool strip_left = false;   // also consumes the white space before it
  bool strip_right = false;  // also consumes the white space after it
  bool normalized = false;   // matched in the normalized text, after all others
  bool hidden = false;       // matched, but left in the text as ordinary text
};

// A piece of a text: an added token, or the text between two of them (id -1).
struct TextPiece {
  std::string_view text;
  int32_t id = -1;
};

// Finds added tokens in texts. Immutable; Split may be called from several threads at once.
class AddedTokens {
 public:
  AddedTokens() = default;
  // Of several tokens with the same content the last is used; empty content never matches.
  explicit AddedTokens(const std::vector<AddedToken>& tokens);

  bool Empty() const { return tokens_.empty(); }

  // Appends the non-empty pieces of `text` (valid UTF-8) in order to *pieces. Matches do not
  // overlap: leftmost first, and the longest at each position. O(n) if few positions look like the
  // start of a token.
  void Split(std::string_view text, std::vector<TextPiece>* pieces) const;

 private:
  // A node of a trie over the bytes of all contents; the children of a node form a linked list.
  struct Node {
    unsigned char byte = 0;
    int32_t token = -1;  // index in tokens_ of the content that ends here
    int32_t first_child = -1;
    int32_t next_sibling = -1;
  };

  int32_t Child(int32_t node, unsigned char byte) const;
  // Index of the longest token that `text` begins with, or -1.
  int32_t LongestAt(std::string_view text) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::vector<int32_t> roots_;  // by first byte
};

}  // namespace sq
