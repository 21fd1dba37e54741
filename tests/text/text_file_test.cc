#include "sq/text/text_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "sq/text/utf8.h"
#include "tests/support/error_message.h"
#include "tests/support/golden_text.h"
#include "tests/support/packed_bytes.h"
#include "tests/support/scratch.h"

namespace sq {
namespace {

using test::MessageOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

// The bytes of the compiler's own UTF-16 or UTF-32, least significant first, or last.
template <typename Char>
std::string Bytes(const std::basic_string<Char>& text, bool big_endian) {
  std::string bytes;
  for (const Char c : text) {
    for (size_t i = 0; i < sizeof(Char); ++i) {
      const size_t place = big_endian ? sizeof(Char) - 1 - i : i;
      bytes += static_cast<char>(static_cast<uint32_t>(c) >> (8 * place));
    }
  }
  return bytes;
}

class TextFileTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    return path_;
  }
  std::string Read(const std::string& bytes) { return ReadText(Write(bytes), 1 << 30); }
  // What comes after the path in the message.
  std::string Failure(const std::string& bytes) {
    const std::string message = MessageOf([&] { Read(bytes); });
    return message.empty() ? "" : message.substr(path_.size());
  }

  const std::string path_ = test::ScratchFolder() + "/file";
};

TEST_F(TextFileTest, TheMarkTellsTheEncoding) {
  const std::string text = "a\r\n\u00e9\u20ac\U0001f600\ufeff.";
  const std::u16string utf16 = u"a\r\n\u00e9\u20ac\U0001f600\ufeff.";
  const std::u32string utf32 = U"a\r\n\u00e9\u20ac\U0001f600\ufeff.";
  EXPECT_EQ(Read(text), text);
  EXPECT_EQ(Read("\ufeff" + text), text);
  for (const bool big_endian : {false, true}) {
    EXPECT_EQ(Read(Bytes(u"\ufeff" + utf16, big_endian)), text);
    EXPECT_EQ(Read(Bytes(U"\ufeff" + utf32, big_endian)), text);
    EXPECT_EQ(Read(Bytes<char16_t>(u"\ufeff", big_endian)), "");
  }
  EXPECT_EQ(Read(test::Gzip(Bytes(u"\ufeff" + utf16, false))), text);
  EXPECT_EQ(Read(test::Zstd("\ufeff" + text)), text);
  EXPECT_EQ(Read(""), "");
  EXPECT_EQ(Read("\ufeff"), "");
}

// Characters of every length lie across the places where reading stops.
TEST_F(TextFileTest, CharactersAreNotCut) {
  for (size_t shift = 0; shift < 4; ++shift) {
    std::string text(shift, 'x');
    std::u16string utf16(shift, u'x');
    for (int i = 0; i < 100000; ++i) {
      text += "\u00e9\U0001f600";
      utf16 += u"\u00e9\U0001f600";
    }
    EXPECT_EQ(Read(text), text);
    EXPECT_EQ(Read(Bytes(u"\ufeff" + utf16, false)), text);
  }
}

TEST_F(TextFileTest, WhatIsNotUtf8IsRefusedByItsByte) {
  EXPECT_EQ(Failure("caf\xe9 au lait"),
            ": at byte 3: 0xE9 is not UTF-8; if the text is Latin-1 or Windows-1252, "
            "`iconv -f WINDOWS-1252 -t UTF-8` converts it");
  EXPECT_THAT(Failure("\ufeff" + std::string(300000, 'x') + "\x93quoted\x94"),
              HasSubstr(": at byte 300003: 0x93 is not UTF-8"));
  EXPECT_THAT(Failure("\xc3"), HasSubstr(": at byte 0: 0xC3 is not UTF-8"));
  EXPECT_THAT(Failure("a\xf0\x9f\x98"), HasSubstr(": at byte 1: 0xF0 is not UTF-8"));
  EXPECT_THAT(Failure("\xed\xa0\x80"), HasSubstr(": at byte 0: 0xED is not UTF-8"));
  EXPECT_THAT(Failure("\xc0\x80"), HasSubstr(": at byte 0: 0xC0 is not UTF-8"));
}

TEST_F(TextFileTest, ANulIsNoText) {
  EXPECT_EQ(Failure(Bytes<char16_t>(u"abc", false)),
            ": at byte 1: a NUL, which is no text (UTF-16 without a byte order mark?)");
  EXPECT_THAT(Failure(std::string("ab\0\xff", 4)), HasSubstr(": at byte 2: a NUL"));
  EXPECT_THAT(Failure(Bytes(std::u16string(u"\ufeff"
                                           "a\0",
                                           3),
                            true)),
              EndsWith(": at byte 4: a NUL, which is no text (UTF-16)"));
}

TEST_F(TextFileTest, IllFormedUnitsAreRefusedByTheirByte) {
  const auto utf16 = [](std::vector<char16_t> units) {
    return Bytes(u"\ufeff" + std::u16string(units.begin(), units.end()), true);
  };
  EXPECT_EQ(Failure(utf16({'a', 0xd83d})), ": at byte 4: half a surrogate pair, not UTF-16");
  EXPECT_EQ(Failure(utf16({0xd83d, 'a'})), ": at byte 2: half a surrogate pair, not UTF-16");
  EXPECT_EQ(Failure(utf16({0xde00, 'a'})), ": at byte 2: no character of UTF-16");
  EXPECT_EQ(Failure(utf16({'a'}) + "b"), ": at byte 4: ends within a character of UTF-16");
  const auto utf32 = [](std::vector<char32_t> units) {
    return Bytes(U"\ufeff" + std::u32string(units.begin(), units.end()), false);
  };
  EXPECT_EQ(Failure(utf32({'a', 0x110000})), ": at byte 8: no character of UTF-32");
  EXPECT_EQ(Failure(utf32({0xd800})), ": at byte 4: no character of UTF-32");
  EXPECT_EQ(Failure(utf32({'a'}) + "bcd"), ": at byte 8: ends within a character of UTF-32");
}

// Random strings of all of Unicode, in each encoding and back.
TEST_F(TextFileTest, EveryEncodingGivesTheSameText) {
  std::string text;
  std::u16string utf16 = u"\ufeff";
  std::u32string utf32 = U"\ufeff";
  for (const std::string& part : test::FuzzTexts()) {
    for (size_t i = 0; i < part.size();) {
      char32_t c;
      i += static_cast<size_t>(DecodeUtf8(std::string_view(part).substr(i), &c));
      if (c == 0) continue;
      AppendUtf8(c, &text);
      utf32 += c;
      if (c >= 0x10000) utf16 += static_cast<char16_t>(0xd7c0 + (c >> 10));
      utf16 += static_cast<char16_t>(c >= 0x10000 ? 0xdc00 + (c & 0x3ff) : c);
    }
  }
  ASSERT_GT(text.size(), 20000u);
  for (const bool big_endian : {false, true}) {
    EXPECT_EQ(Read(Bytes(utf16, big_endian)), text);
    EXPECT_EQ(Read(Bytes(utf32, big_endian)), text);
  }
}

TEST_F(TextFileTest, TheSizeIsBounded) {
  Write(test::Gzip(std::string(1 << 20, 'x')));
  EXPECT_EQ(ReadText(path_, 1 << 20).size(), size_t{1} << 20);
  EXPECT_EQ(MessageOf([&] { ReadText(path_, (1 << 20) - 1); }),
            path_ + ": more than 1048575 bytes of text");
}

TEST_F(TextFileTest, LinesAreNumbered) {
  const auto lines = [&](const std::string& bytes) {
    std::vector<std::pair<std::string, int64_t>> found;
    ForEachLine(Write(bytes),
                [&](std::string_view line, int64_t number) { found.emplace_back(line, number); });
    return found;
  };
  EXPECT_THAT(lines(""), IsEmpty());
  EXPECT_THAT(lines("\n"), ElementsAre(Pair("", 1)));
  EXPECT_THAT(lines("a\n\nb\r\nc"),
              ElementsAre(Pair("a", 1), Pair("", 2), Pair("b\r", 3), Pair("c", 4)));
  const std::string text(300000, 'x');
  EXPECT_THAT(lines(test::Gzip(text + "\n" + text + "\n")),
              ElementsAre(Pair(text, 1), Pair(text, 2)));
  std::string many;
  for (int i = 0; i < 50000; ++i) many += std::to_string(i) + "\n";
  const auto found = lines(many);
  ASSERT_EQ(found.size(), 50000u);
  for (int i = 0; i < 50000; ++i) ASSERT_EQ(found[i], std::make_pair(std::to_string(i), i + 1L));
}

}  // namespace
}  // namespace sq
