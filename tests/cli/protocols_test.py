"""The windows that sq-eval evaluates (--save-tokens) are those that Python's own random takes from the same documents,
given the token ids of each (--tokenize)."""

import json
import os
import random
import shutil
import unittest
from pathlib import Path

from cli_support import SOURCE, CliTest, make_model, read_json, write_json

TEXT = SOURCE / "tests/golden/text"
DATA = os.environ.get("SQ_DATA_DIR")
LENGTH = 20  # documents of just as many tokens and of one more are drawn, see make_golden_windows.py


def documents(folder):
    return [json.loads(line)["text"] for path in sorted(Path(folder).glob("*.jsonl"))
            for line in path.read_text(encoding="utf-8").split("\n") if line]


def draw(ids, length, count=256):
    """formats of the original: seed 0; at least `length` tokens; where randint has nothing to choose from, again."""
    random.seed(0)
    windows = []
    while len(windows) < count:
        drawn = ids[random.randint(0, len(ids) - 1)]
        if len(drawn) < length:
            continue
        try:
            start = random.randint(0, len(drawn) - length - 1)
        except ValueError:
            continue
        windows.append(drawn[start:start + length])
    return windows


def consecutive(ids, length, count=None):
    return [ids[i:i + length] for i in range(0, len(ids) - length + 1, length)][:count]


class Windows(CliTest):
    def tokenize(self, model, texts):
        texts = write_json(self.folder / "texts.json", texts)
        return json.loads(self.run_tool("sq-eval", model, "--tokenize", texts).stdout)

    def windows(self, model, name, data, length, *more):
        saved, report = self.folder / "windows.json", self.folder / "report.json"
        self.run_tool("sq-eval", model, "--dataset", name, "--data-dir", data, "--sequence-length", length,
                      "--save-tokens", saved, "--json", report, *more)
        windows = read_json(saved)
        self.assertEqual(len(windows), read_json(report)["results"][0]["windows"])
        return windows

    def check_c4(self, model, data, length, count=256):
        texts = documents(Path(data) / "c4")
        ids = self.tokenize(model, texts + [" ".join(texts[:1100])])
        more = ("--windows", count) if count != 256 else ()
        self.assertEqual(self.windows(model, "c4", data, length, *more), draw(ids[:-1], length, count))
        self.assertEqual(self.windows(model, "c4-new", data, length, *more), consecutive(ids[-1], length, count))

    def model_with(self, name, vocabulary, tokenizer, files):
        model = make_model(self.folder / name, "--vocab", vocabulary)
        (model / "tokenizer.json").unlink()
        for file in files:
            shutil.copyfile(Path(tokenizer) / file, model / file)
        return model

    def test_documents_of_the_repository(self):
        model = self.model_with("small", 900, TEXT / "llama", ("tokenizer.model", "tokenizer_config.json"))
        self.check_c4(model, TEXT, LENGTH)
        self.check_c4(model, TEXT, LENGTH, 3)

    def test_saved_tokens_are_what_was_evaluated(self):
        model, report = make_model(self.folder / "model"), self.folder / "report.json"
        saved = self.folder / "saved.json"
        self.run_tool("sq-eval", model, "--dataset", TEXT / "c4", "--sequence-length", LENGTH, "--windows", 9,
                      "--save-tokens", saved, "--json", report)
        perplexity = read_json(report)["results"][0]["perplexity"]
        self.run_tool("sq-eval", model, "--tokens", saved, "--json", report)
        self.assertEqual(read_json(report)["results"][0]["perplexity"], perplexity)

    def test_rows_are_joined_as_each_protocol_says(self):
        """BOS comes once, before the whole text."""
        model = self.model_with("joined", 900, TEXT / "llama", ("tokenizer.model", "tokenizer_config.json"))
        rows = [" = Title = \n", "", " One row of the rain . \n", "", " another of the wind \n"] * 9
        data = self.folder / "data"
        for name, column in (("wikitext-2-raw-v1/test-00000-of-00001", "text"),
                             ("penn_treebank/validation/0000", "sentence"), ("penn_treebank/test/0000", "sentence")):
            path = data / f"{name}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(json.dumps({column: row}) + "\n" for row in rows), encoding="utf-8")
        for name, separator in (("wikitext2", "\n\n"), ("ptb", "\n\n"), ("ptb-new", " ")):
            with self.subTest(name):
                ids = self.tokenize(model, [separator.join(rows)])[0]
                self.assertEqual(ids.count(ids[0]), 1)
                self.assertEqual(self.windows(model, name, data, 16), consecutive(ids, 16))

    @unittest.skipUnless(DATA and Path(DATA, "models/llama-2-7b/tokenizer.model").exists() and
                         documents(Path(DATA, "c4")), "needs SQ_DATA_DIR with c4/*.jsonl and models/llama-2-7b")
    def test_public_documents(self):
        model = self.model_with("large", 32000, Path(DATA, "models/llama-2-7b"),
                                ("tokenizer.model", "tokenizer_config.json"))
        self.check_c4(model, DATA, 256, 40)

    def test_tokens_of_one_data_set_are_saved(self):
        model = make_model(self.folder / "other")
        line = self.fails("sq-eval", model, "--dataset", "c4", "--dataset", "c4-new", "--data-dir", TEXT,
                          "--save-tokens", self.folder / "none.json")
        self.assertEqual(line, "error: the tokens of one --dataset can be saved, not of 2")
        self.assertFalse((self.folder / "none.json").exists())


if __name__ == "__main__":
    unittest.main()
