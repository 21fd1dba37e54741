#!/usr/bin/env python3
"""Writes src/text/nfc_unsupported.cc: characters that take part in NFC today, but not in that of
Hugging Face's tokenizers, whose Unicode tables are older.

    pip install tokenizers==0.23.3 regex==2026.11.19
    scripts/make_nfc_unsupported.py && clang-format -i src/text/nfc_unsupported.cc
"""

import pathlib

import regex
from tokenizers import normalizers

OUT = pathlib.Path(__file__).resolve().parent.parent / "src" / "text" / "nfc_unsupported.cc"

# Whole blocks that came with Unicode 13 to 16 and have compositions: Todhri, Tulu-Tigalari, Dives
# Akuru, Gurung Khema, Kirat Rai.
BLOCKS = [(0x105C0, 0x105FF), (0x11380, 0x113FF), (0x11900, 0x1195F), (0x16100, 0x1613F),
          (0x16D40, 0x16D7F)]

# Marks of classes 1, 230 and 240: any other is reordered beside one of them.
MARKS = ["\u0334", "\u0301", "\u0345"]

TEXT = """// Written by scripts/make_nfc_unsupported.py from tokenizers %s and regex %s.
#include "sq/text/nfc_unsupported.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace sq {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

constexpr std::array<Range, %d> kRanges = {{
%s
}};

}  // namespace

bool IsUnsupportedByNfc(char32_t c) {
  const auto found = std::lower_bound(kRanges.begin(), kRanges.end(), c,
                                      [](const Range& range, char32_t b) { return range.last < b; });
  return found != kRanges.end() && found->first <= c;
}

}  // namespace sq
"""


def main():
    import tokenizers
    normalize = normalizers.NFC().normalize_str
    is_mark = regex.compile(r"\P{ccc=0}")

    def is_new(code):
        c = chr(code)
        if any(first <= code <= last for first, last in BLOCKS):
            return True
        return bool(is_mark.match(c)) and c not in MARKS and all(
            normalize(pair) == pair for mark in MARKS for pair in (c + mark, mark + c))

    ranges = []
    for code in range(0x300, 0x110000):
        if 0xd800 <= code < 0xe000 or not is_new(code):
            continue
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    rows = "\n".join("    {0x%x, 0x%x}," % tuple(r) for r in ranges)
    OUT.write_text(TEXT % (tokenizers.__version__, regex.__version__, len(ranges), rows))


if __name__ == "__main__":
    main()
