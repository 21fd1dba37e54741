#!/usr/bin/env python3
"""Makes tests/golden/text/csv.json: random CSV texts and the rows that Python's csv reader gives for them.

    scripts/golden/make_golden_csv.py

Texts are drawn from pieces that end fields, rows and quotes, so that all of them meet; blank lines give no row.
"""

import csv
import io
import json
import pathlib
import random

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "text" / "csv.json"
PIECES = ['"', '"', '""', ",", ",", "\n", "\r", "\r\n", "a", "b c", " ", "\u00e9", "'", ";", "\t", "\u2028", "A"]


def rows(text):
    return [row for row in csv.reader(io.StringIO(text, newline="")) if row]


def main():
    random.seed(0)
    texts = ["".join(random.choices(PIECES, k=random.randint(0, 16))) for _ in range(800)]
    cases = [[text, rows(text)] for text in dict.fromkeys(texts)]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    OUT.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
