#!/usr/bin/env python3
"""Makes tests/golden/text/windows.json: the token windows that plain Python takes from tests/golden/text/c4.

    pip install transformers==4.46.3 tokenizers==0.20.3 sentencepiece==0.2.3 protobuf
    scripts/golden/make_golden_windows.py [DATA]     with a data folder, real_windows.json too

Python's own random and transformers' slow tokenizers, as the original has them. Each entry is the number of windows
and a hash of their ids.
"""

import json
import pathlib
import random
import sys

from transformers import AutoTokenizer, PreTrainedTokenizerFast

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "text"


def fnv1a(ids):
    value = 0xcbf29ce484222325
    for byte in b"".join(i.to_bytes(4, "little") for i in ids):
        value = (value ^ byte) * 0x100000001b3 % 2**64
    return f"{value:016x}"


def digest(windows):
    return {"count": len(windows), "fnv1a": fnv1a([i for window in windows for i in window])}


class Drawn:
    """Documents tokenized when drawn, once each, and what the draws came upon."""

    def __init__(self, documents, encode):
        self.documents, self.encode, self.ids, self.lengths = documents, encode, {}, set()

    def draw(self):
        number = random.randint(0, len(self.documents) - 1)
        if number not in self.ids:
            self.ids[number] = self.encode(self.documents[number])
        self.lengths.add(len(self.ids[number]))
        return self.ids[number]


def evaluation(documents, encode, length, count=256):
    """The original stops at a document of at least `length` tokens; randint(0, -1) then raises ValueError where
    there are no more: draw again."""
    drawn, windows = Drawn(documents, encode), []
    random.seed(0)
    while len(windows) < count:
        ids = drawn.draw()
        if len(ids) >= length:
            try:
                start = random.randint(0, len(ids) - length - 1)
            except ValueError:
                continue
            windows.append(ids[start:start + length])
    return windows, drawn.lengths


def calibration(documents, encode, length, count, seed):
    """The gradients' fork: a document of just `length` tokens is taken from its start, and nothing is drawn."""
    drawn, windows = Drawn(documents, encode), []
    random.seed(seed)
    while len(windows) < count:
        ids = drawn.draw()
        if len(ids) >= length:
            start = 0 if len(ids) == length else random.randint(0, len(ids) - length - 1)
            windows.append(ids[start:start + length])
    return windows, drawn.lengths


def joined_calibration(documents, separator, encode, length, count, seed):
    random.seed(seed)
    ids = encode(separator.join(documents))
    starts = [random.randint(0, len(ids) - length - 1) for _ in range(count)]
    return [ids[start:start + length] for start in starts]


def consecutive(ids, length):
    return [ids[i:i + length] for i in range(0, len(ids) - length + 1, length)]


def edge(documents, encode, draw):
    """The least length of 20 or more at which the draws come upon documents of just as many tokens and of one more."""
    lengths = {len(encode(text)) for text in documents}
    for length in sorted(lengths):
        if length >= 20 and length + 1 in lengths:
            windows, met = draw(length)
            if {length, length + 1} <= met:
                return length, windows
    raise ValueError("no such length; other documents are needed")


def golden(documents, encode):
    """`documents` serve as those of C4 and as the rows of the others."""
    evaluated = edge(documents, encode, lambda length: evaluation(documents, encode, length))
    calibrated = edge(documents, encode, lambda length: calibration(documents, encode, length, 100, 0))
    row = [i for text in documents for i in encode(text)]
    blank_line, space = (encode(separator.join(documents)) for separator in ("\n\n", " "))
    first = encode(" ".join(documents[:1100]))[:256 * 8]
    return {
        "c4": [{"length": 64, **digest(evaluation(documents, encode, 64)[0])},
               {"length": evaluated[0], **digest(evaluated[1])}],
        "c4-new": [{"length": 32, **digest(consecutive(space, 32))},
                   {"length": 8, **digest(consecutive(first, 8))}],
        "wikitext2": [{"length": 64, **digest(consecutive(blank_line, 64))}],
        "ptb": [{"length": 64, **digest(consecutive(blank_line, 64))}],
        "ptb-new": [{"length": 64, **digest(consecutive(space, 64))}],
        "calibration": {
            "c4": [{"length": 40, "samples": 20, "seed": 7,
                    **digest(calibration(documents, encode, 40, 20, 7)[0])},
                   {"length": calibrated[0], "samples": 100, "seed": 0, **digest(calibrated[1])}],
            "wikitext2": [{"length": 40, "samples": 20, "seed": 7, **digest(
                joined_calibration(documents, "\n\n", encode, 40, 20, 7))}],
            "ptb": [{"length": 40, "samples": 20, "seed": 7, **digest(
                joined_calibration(documents, "\n\n", encode, 40, 20, 7))}],
            "ptb-new": [{"length": 40, "samples": 20, "seed": 2**40 + 1, **digest(
                joined_calibration(documents, " ", encode, 40, 20, 2**40 + 1))}],
            "path": [{"length": 50, "samples": 100, "seed": 0, **digest(consecutive(row, 50)[:100])}]}}


def real(data):
    """DATA/c4 and DATA/wikitext-2/test.txt by the tokenizer of DATA/models/llama-2-7b."""
    tokenizer = AutoTokenizer.from_pretrained(data / "models" / "llama-2-7b", use_fast=False, legacy=True)
    documents = [json.loads(line)["text"] for path in sorted((data / "c4").glob("*.jsonl"))
                 for line in path.read_bytes().decode().split("\n") if line]
    text = (data / "wikitext-2" / "test.txt").read_text(encoding="utf-8")  # line ends become "\n"

    def encode(text):
        return tokenizer(text)["input_ids"]
    return {"c4": [{"length": length, **digest(evaluation(documents, encode, length)[0])}
                   for length in (256, 512)],
            "c4-new": [{"length": 512, **digest(consecutive(encode(" ".join(documents)), 512))}],
            "wikitext2": [{"length": 2048, **digest(consecutive(encode(text), 2048))}],
            "calibration": {"c4": [{"length": 512, "samples": 100, "seed": 0,
                                    **digest(calibration(documents, encode, 512, 100, 0)[0])}]}}


def write(name, value):
    (OUT / name).write_text(json.dumps(value) + "\n", encoding="utf-8")


def main():
    documents = [json.loads(line)["text"]
                 for line in (OUT / "c4" / "c4-sample.jsonl").read_text(encoding="utf-8").split("\n") if line]
    result = {}
    for name in ("gpt2", "llama"):  # without BOS, and with one
        if name == "gpt2":
            tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(OUT / name / "tokenizer.json"))
        else:
            tokenizer = AutoTokenizer.from_pretrained(OUT / name, use_fast=False, legacy=True)
        result[name] = golden(documents, lambda text, t=tokenizer: t(text)["input_ids"])
    write("windows.json", result)
    if len(sys.argv) > 1:
        write("real_windows.json", real(pathlib.Path(sys.argv[1])))


if __name__ == "__main__":
    main()
