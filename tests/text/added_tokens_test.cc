#include "sq/text/added_tokens.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sq {
namespace {

using ::testing::ElementsAre;

AddedToken Token(int32_t id, const std::string& content) {
  AddedToken token;
  token.id = id;
  token.content = content;
  return token;
}

// Pieces as "text" or "id:text".
std::vector<std::string> Split(const std::vector<AddedToken>& tokens, const std::string& text) {
  std::vector<TextPiece> pieces;
  AddedTokens(tokens).Split(text, &pieces);
  std::vector<std::string> result;
  for (const TextPiece& piece : pieces) {
    result.push_back((piece.id < 0 ? "" : std::to_string(piece.id) + ":") +
                     std::string(piece.text));
  }
  return result;
}

TEST(AddedTokens, FindsLeftmostLongest) {
  const std::vector<AddedToken> tokens = {Token(1, "ab"), Token(2, "abc"), Token(3, "bcc"),
                                          Token(4, "")};
  EXPECT_THAT(Split(tokens, "abcc abbcc"), ElementsAre("2:abc", "c ", "1:ab", "3:bcc"));
  EXPECT_THAT(Split(tokens, ""), ElementsAre());
  EXPECT_THAT(Split(tokens, "xyz"), ElementsAre("xyz"));
  EXPECT_THAT(Split(tokens, "a"), ElementsAre("a"));
  EXPECT_THAT(Split({}, "abc"), ElementsAre("abc"));
}

TEST(AddedTokens, LastOfEqualsCounts) {
  EXPECT_THAT(Split({Token(1, "x"), Token(2, "x")}, "x"), ElementsAre("2:x"));
}

TEST(AddedTokens, StripsWhiteSpaceAround) {
  AddedToken left = Token(1, "<l>"), right = Token(2, "<r>");
  left.strip_left = true;
  right.strip_right = true;
  EXPECT_THAT(Split({left, right}, "a \u3000\n<l>  b"), ElementsAre("a", "1: \u3000\n<l>", "  b"));
  EXPECT_THAT(Split({left, right}, "a <r> \u2003\n b"), ElementsAre("a ", "2:<r> \u2003\n ", "b"));
  EXPECT_THAT(Split({left, right}, "<r>  <l>"), ElementsAre("2:<r>  ", "1:<l>"));
}

TEST(AddedTokens, SingleWordsTouchNoWordCharacter) {
  AddedToken word = Token(1, "xx");
  word.single_word = true;
  EXPECT_THAT(Split({word}, "axx xxa xx,xx"), ElementsAre("axx xxa ", "1:xx", ",", "1:xx"));
  EXPECT_THAT(Split({word}, "xx\u0301 xx_ xx\u200d \u00e9xx"),
              ElementsAre("xx\u0301 xx_ xx\u200d \u00e9xx"));
}

// As the tokenizers library's encode_special_tokens: what is found and hidden is used up.
TEST(AddedTokens, HiddenOnesStayInTheText) {
  AddedToken hidden = Token(1, "<ab>");
  hidden.hidden = true;
  EXPECT_THAT(Split({hidden, Token(2, "ab"), Token(3, "x")}, "x<ab>ab"),
              ElementsAre("3:x", "<ab>", "2:ab"));
}

}  // namespace
}  // namespace sq
