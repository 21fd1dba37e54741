#!/usr/bin/env python3
"""Writes src/text/punctuation.cc: the characters that the tokenizers library takes for punctuation, which
are those of an old Unicode and ASCII's symbols.

    pip install tokenizers==0.23.3
    scripts/make_punctuation.py && clang-format -i src/text/punctuation.cc
"""

import pathlib

import tokenizers
from tokenizers import pre_tokenizers

OUT = pathlib.Path(__file__).resolve().parent.parent / "src" / "text" / "punctuation.cc"

TEXT = """// Written by scripts/make_punctuation.py from tokenizers %s.
#include "sq/text/punctuation.h"

namespace sq {

const char* const kPunctuation =
%s;

}  // namespace sq
"""


def main():
    split = pre_tokenizers.Punctuation("removed")
    ranges = []
    for c in range(0x110000):
        if 0xd800 <= c < 0xe000 or split.pre_tokenize_str(chr(c)):
            continue
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    items = [rf"\\x{{{a:x}}}" + (rf"-\\x{{{b:x}}}" if b > a else "") for a, b in ranges]
    lines = ["["]
    for item in items + ["]"]:
        if len(lines[-1]) + len(item) > 92:
            lines.append("")
        lines[-1] += item
    OUT.write_text(TEXT % (tokenizers.__version__, "\n".join(f'    "{line}"' for line in lines)))


if __name__ == "__main__":
    main()
