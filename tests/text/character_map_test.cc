// A table of SentencePiece's on all kinds of text: tokenizer_json_test.cc. Here: small ones, made
// by hand.
#include "sq/text/character_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "sq/base/error.h"
#include "sq/text/utf8.h"
#include "tests/support/error_message.h"

namespace sq {
namespace {

void Append(uint32_t value, std::string* out) {
  for (int i = 0; i < 4; ++i) out->push_back(static_cast<char>(value >> 8 * i & 0xff));
}

// A table of the keys, of one byte each, and their replacements. The trie's root is unit 0 and its
// offset 0; behind the key at unit c, of offset 256 ^ c and more, lies its value.
std::string Table(const std::map<char, std::string>& replacements) {
  std::vector<uint32_t> units(512, 0xff);
  units[0] = 0;
  std::string values;
  for (const auto& [key, replacement] : replacements) {
    const auto byte = static_cast<unsigned char>(key);
    units[byte] = 256u << 10 | 1u << 8 | byte;
    units[byte ^ 256u] = 0x80000000u | static_cast<uint32_t>(values.size());
    values += replacement + '\0';
  }
  std::string table;
  Append(static_cast<uint32_t>(units.size() * 4), &table);
  for (const uint32_t unit : units) Append(unit, &table);
  return table + values;
}

TEST(CharacterMap, ReplacesCharacters) {
  const CharacterMap map(Table({{'a', "AA"}, {'b', ""}, {'\n', " "}}), "t");
  EXPECT_EQ(map.Apply(""), "");
  EXPECT_EQ(map.Apply("abc\nba"), "AAc AA");
  EXPECT_EQ(map.Apply("\u00e9\u6f22a"), "\u00e9\u6f22AA");
}

TEST(CharacterMap, AShortGraphemeBecomesTheReplacementOfWhatItBeginsWith) {
  const CharacterMap map(Table({{'a', "A"}, {'\r', " "}}), "t");
  EXPECT_EQ(map.Apply("a\u0301b"), "Ab");
  EXPECT_EQ(map.Apply("\r\nb"), " b");
  EXPECT_EQ(map.Apply("e\u0301"), "e\u0301");
  // One of 6 bytes or more is taken apart.
  EXPECT_EQ(map.Apply("a\u0301\u0301\u0301b"), "A\u0301\u0301\u0301b");
}

TEST(CharacterMap, RefusesDamage) {
  for (const std::string& table :
       {std::string(), std::string("\1\0\0", 3), std::string("\0\0\0\0", 4),
        std::string("\3\0\0\0abc", 7), std::string("\4\0\0\0abc", 7),
        std::string("\xff\xff\xff\xff"
                    "abcd",
                    8),
        std::string("\4\0\0\0abcd\xff", 9)}) {
    EXPECT_EQ(test::MessageOf([&] {
                CharacterMap(table, "t");
              }).rfind("t: \"precompiled_charsmap\": expected ", 0),
              0u);
  }
}

TEST(CharacterMap, SurvivesAnyTrie) {
  std::mt19937 random(1);
  const std::string good = Table({{'a', "AA"}, {'b', "\u00e9"}, {'c', "c"}});
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string table = good;
    for (int j = 0; j < 40; ++j) {
      table[4 + random() % (table.size() - 4)] = static_cast<char>(random() % 128);
    }
    try {
      const CharacterMap map(table, "t");
      EXPECT_TRUE(IsValidUtf8(map.Apply("abcabc\u00e9\u6f22 xyz"))) << i;
    } catch (const Error&) {
      ++refused;  // replacements that are no UTF-8
    }
  }
  EXPECT_LT(refused, 1000);
}

}  // namespace
}  // namespace sq
