#!/usr/bin/env python3
"""Writes MMLU as the CSV tree of the original release, which sq-eval --mmlu reads, from Arrow files as
Hugging Face's datasets library keeps them: IN/<subject>/{dev,test}.arrow, with the columns question,
choices (four) and answer (0 to 3). Needs pyarrow.
"""

import argparse
import csv
import os
import sys

try:
    import pyarrow
except ImportError as error:
    sys.exit(f"mmlu_from_arrow: {error}; install pyarrow")

SPLITS = ("dev", "test")


def read_table(path):
    """Arrow's stream format, as datasets writes it, or its file format."""
    with pyarrow.memory_map(path) as source:
        try:
            return pyarrow.ipc.open_stream(source).read_all()
        except pyarrow.ArrowInvalid:
            source.seek(0)
            return pyarrow.ipc.open_file(source).read_all()


def rows(path):
    table = read_table(path)
    for name in ("question", "choices", "answer"):
        if name not in table.column_names:
            raise ValueError(f"{path}: no column {name}; found {', '.join(table.column_names)}")
    for number, row in enumerate(table.to_pylist(), 1):
        if len(row["choices"]) != 4 or row["answer"] not in range(4):
            raise ValueError(f"{path}: row {number}: expected four choices and an answer from 0 to 3, "
                             f"found {len(row['choices'])} and {row['answer']}")
        yield [row["question"], *row["choices"], "ABCD"[row["answer"]]]


def convert(source, output):
    subjects = sorted(name for name in os.listdir(source)
                      if all(os.path.isfile(os.path.join(source, name, f"{split}.arrow")) for split in SPLITS))
    if not subjects:
        raise ValueError(f"{source}: no folder with dev.arrow and test.arrow")
    for split in SPLITS:
        os.makedirs(os.path.join(output, split), exist_ok=True)
        for subject in subjects:
            questions = list(rows(os.path.join(source, subject, f"{split}.arrow")))
            path = os.path.join(output, split, f"{subject}_{split}.csv")
            with open(path, "w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(questions)
            print(f"{path}: {len(questions)} questions")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", metavar="IN", help="folder of one folder per subject")
    parser.add_argument("output", metavar="OUT", help="folder to write dev/ and test/ into")
    arguments = parser.parse_args()
    try:
        convert(arguments.input, arguments.output)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        print(f"mmlu_from_arrow: {str(error).splitlines()[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
