#!/usr/bin/env python3
"""Writes src/text/pcre2_stand_ins.cc: characters that Hugging Face's tokenizers know and an older
PCRE2 may not, with a stand-in of the same kind.

    pip install tokenizers==0.23.3     with Python 3.11: its Unicode, 14.0, is PCRE2 10.40 to 10.42's
    scripts/make_pcre2_stand_ins.py && clang-format -i src/text/pcre2_stand_ins.cc
"""

import pathlib
import unicodedata

import tokenizers
from tokenizers import Regex, pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent.parent / "src" / "text" / "pcre2_stand_ins.cc"

CATEGORIES = ["Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps",
              "Pe", "Pi",
              "Pf", "Po", "Sm", "Sc", "Sk", "So"]

HEAD = """// Written by scripts/make_pcre2_stand_ins.py from tokenizers %s (Unicode 16.0) and
// Unicode %s.
#include "sq/text/pcre2_stand_ins.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "sq/text/utf8.h"

namespace sq {
namespace {

// The characters first to last, and one of the same category and length in UTF-8 (and Han where
// they are Han) that every PCRE2 knows.
struct Addition {
  uint32_t first;
  uint32_t last;
  uint32_t stand_in;
};

constexpr std::array<Addition, %d> kAdditions = {{
%s
}};

"""

TAIL = """// The shortest sequence among them has three bytes.
constexpr unsigned char kFirstLead = 0xe0;

const Addition* FindAddition(char32_t c) {
  const auto found = std::lower_bound(kAdditions.begin(), kAdditions.end(), c,
                                      [](const Addition& a, char32_t b) { return a.last < b; });
  return found != kAdditions.end() && found->first <= c ? &*found : nullptr;
}

}  // namespace

std::string_view WithStandIns(std::string_view text, std::string* storage) {
  bool copied = false;
  for (size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < kFirstLead) {
      ++i;
      continue;
    }
    char32_t c;
    const int length = DecodeUtf8(text.substr(i), &c);
    if (const Addition* addition = FindAddition(c)) {
      if (!copied) storage->assign(text);
      copied = true;
      std::string stand_in;
      AppendUtf8(addition->stand_in, &stand_in);
      storage->replace(i, stand_in.size(), stand_in);
    }
    i += length;
  }
  return copied ? std::string_view(*storage) : text;
}

bool HasOrIsStandIn(char32_t first, char32_t last) {
  return std::any_of(kAdditions.begin(), kAdditions.end(), [&](const Addition& a) {
    return (first <= a.last && last >= a.first) || (first <= a.stand_in && last >= a.stand_in);
  });
}

}  // namespace sq
"""


def characters():
    return (c for c in range(0x110000) if not 0xd800 <= c < 0xe000)


def members(pattern, text):
    """Code points of `text`, all different, that the pattern matches."""
    kept = pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str(text)
    return set(map(ord, text)) - {ord(c) for piece, _ in kept for c in piece}


def main():
    assert unicodedata.unidata_version == "14.0.0"
    text = "".join(chr(c) for c in characters() if unicodedata.category(chr(c)) == "Cn")
    han = members(r"\p{Han}", text)
    rows = []
    for category in CATEGORIES:
        for c in members(rf"\p{{{category}}}", text):
            size = len(chr(c).encode())
            if c in han and category == "Lo":
                stand_in = 0x20000 if size == 4 else 0x4e00
            else:
                stand_in = next(d for d in characters() if unicodedata.category(chr(d)) == category
                                and len(chr(d).encode()) == size and not 0x2e80 <= d < 0xa000)
            rows.append((c, stand_in))
    rows.sort()
    ranges = []
    for c, stand_in in rows:
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == stand_in:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, stand_in])
    assert min(first for first, _, _ in ranges) >= 0x800
    lines = [""]
    for row in ranges:
        item = "{0x%x, 0x%x, 0x%x}," % tuple(row)
        if len(lines[-1]) + len(item) > 95:
            lines.append("")
        lines[-1] += ("    " if not lines[-1] else " ") + item
    OUT.write_text(HEAD % (tokenizers.__version__, unicodedata.unidata_version,
                                                     len(ranges), "\n".join(lines)) + TAIL)


if __name__ == "__main__":
    main()
