#include "sq/text/added_tokens.h"

#include <algorithm>

#include "sq/text/unicode.h"
#include "sq/text/utf8.h"

namespace sq {
namespace {

bool EndsInWord(std::string_view text) {
  size_t length;
  return !text.empty() && IsWordCharacter(LastCharacter(text, &length));
}

bool BeginsWithWord(std::string_view text) {
  char32_t c;
  return !text.empty() && (DecodeUtf8(text, &c), IsWordCharacter(c));
}

}  // namespace

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens) : roots_(256, -1) {
  for (const AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    int32_t node = -1;
    for (const char c : token.content) {
      const auto byte = static_cast<unsigned char>(c);
      int32_t child = Child(node, byte);
      if (child < 0) {
        child = static_cast<int32_t>(nodes_.size());
        int32_t& head = node < 0 ? roots_[byte] : nodes_[node].first_child;
        const int32_t sibling = node < 0 ? -1 : head;
        head = child;
        nodes_.push_back({byte, -1, -1, sibling});
      }
      node = child;
    }
    nodes_[node].token = static_cast<int32_t>(tokens_.size());
    tokens_.push_back(token);
  }
}

int32_t AddedTokens::Child(int32_t node, unsigned char byte) const {
  if (node < 0) return roots_[byte];
  int32_t child = nodes_[node].first_child;
  while (child >= 0 && nodes_[child].byte != byte) child = nodes_[child].next_sibling;
  return child;
}

int32_t AddedTokens::LongestAt(std::string_view text) const {
  int32_t longest = -1;
  int32_t node = -1;
  for (const char c : text) {
    node = Child(node, static_cast<unsigned char>(c));
    if (node < 0) break;
    if (nodes_[node].token >= 0) longest = nodes_[node].token;
  }
  return longest;
}

void AddedTokens::Split(std::string_view text, std::vector<TextPiece>* pieces) const {
  if (tokens_.empty()) {
    if (!text.empty()) pieces->push_back({text, -1});
    return;
  }
  size_t done = 0;  // all text before is in *pieces
  size_t at = 0;
  while (at < text.size()) {
    const int32_t index = LongestAt(text.substr(at));
    if (index < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[index];
    size_t begin = at;
    size_t end = at + token.content.size();
    at = end;  // a rejected match is consumed all the same
    const bool touches_word = token.single_word && (EndsInWord(text.substr(0, begin)) ||
                                                    BeginsWithWord(text.substr(end)));
    if (token.hidden || touches_word) continue;
    if (token.strip_left) {
      begin = std::max(done, begin - WhiteSpaceAtEnd(text.substr(0, begin)));
    }
    if (token.strip_right) end += WhiteSpaceAtStart(text.substr(end));
    // White space consumed by one token may itself match a token.
    if (done < begin) pieces->push_back({text.substr(done, begin - done), -1});
    pieces->push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  if (done < text.size()) pieces->push_back({text.substr(done), -1});
}

}  // namespace sq
