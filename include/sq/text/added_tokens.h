// Tokens that are looked for in the text before anything else splits it, such as "<|endoftext|>".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sq/text/regex.h"

namespace sq {

struct AddedToken {
  int32_t id = 0;
  std::string content;       // what to look for; UTF-8
  bool special = false;      // left out by Decode(skip_special_tokens)
  bool single_word = false;  // only where no letter, digit or such touches it
  bool strip_left = false;   // takes in the white space before it
  bool strip_right = false;  // takes in the white space after it
  bool normalized = false;   // looked for in normalized text, after all that are not
  bool hidden = false;       // found, but left in the text as if it were none
};

// A piece of a text: an added token, or what lies between two (id -1).
struct TextPiece {
  std::string_view text;
  int32_t id = -1;
};

// Finds added tokens in texts. Immutable; Split may be called from several threads at once.
class AddedTokens {
 public:
  AddedTokens() = default;
  // Of tokens with the same content the last counts; those without content never match.
  explicit AddedTokens(const std::vector<AddedToken>& tokens);

  bool Empty() const { return tokens_.empty(); }

  // Appends the pieces of `text` (valid UTF-8), in order and without empty ones, to *pieces.
  // Matches are the leftmost, and the longest of those, without overlap. O(n) for texts in which
  // few places look like the beginning of a token.
  void Split(std::string_view text, std::vector<TextPiece>* pieces) const;

 private:
  // A node of a tree over the bytes of all contents: children of one node are siblings in a list.
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
