"""The same input, seed and options give the same bytes on any number of threads."""

import json
import unittest

from cli_support import SENTENCE, CliTest, digests, make_model, read_json, read_safetensors, token_lists, write_json

# What may differ between two reports of the same run.
VARIABLE = ("seconds", "threads", "peak_memory_bytes", "sampling_seconds")


def without_variable(value):
    if isinstance(value, dict):
        return {key: without_variable(item) for key, item in value.items() if key not in VARIABLE}
    if isinstance(value, list):
        return [without_variable(item) for item in value]
    return value


class Determinism(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Sizes that two and three threads do not divide evenly.
        cls.model = make_model(cls.folder / "model", "--hidden", 96, "--intermediate", 160, "--heads", 3,
                               "--kv-heads", 1, "--layers", 2, "--dtype", "bfloat16")
        cls.tokens = write_json(cls.folder / "tokens.json", token_lists(7, 50))
        cls.texts = cls.folder / "texts.jsonl"
        cls.texts.write_text("".join(json.dumps({"text": f"{i} {SENTENCE * 3}"}) + "\n" for i in range(9)))

    def check(self, *flags):
        results = {}
        for threads in (1, 2, 3):
            output = self.folder / f"out-{threads}"
            saved = self.folder / f"saved-{threads}"
            more = () if "--uniform-sensitivity" in flags else ("--save-sensitivity", saved)
            self.quantize(self.model, output, "--threads", threads, *flags, *more)
            report = read_json(output / "report.json")
            self.assertEqual(report["threads"], threads)
            results[threads] = (digests(output), digests(saved), without_variable(report))
            for folder in (output, saved):
                if folder.exists():
                    folder.rename(self.folder / f"{folder.name}-{'-'.join(map(str, flags)).replace('/', '.')}")
        self.assertEqual(results[1], results[2])
        self.assertEqual(results[1], results[3])

    def test_token_ids(self):
        self.check("--calibration", self.tokens, "--bits", 3, "--sparsity-percent", 0.45)

    def test_float32_products(self):
        self.check("--calibration", self.tokens, "--dtype", "float32", "--sparsity-percent", 5)

    def test_texts(self):
        self.check("--calibration", self.texts, "--samples", 5, "--sequence-length", 40, "--outlier-range", 1.5)

    def test_text_sampled_from_the_model(self):
        self.check("--calibration", "self", "--samples", 11, "--sequence-length", 12, "--seed", 3)

    def test_uniform_sensitivity(self):
        self.check("--uniform-sensitivity", "--sparsity-percent", 0.45)

    def test_perplexity_and_logits(self):
        results = []
        for threads in (1, 2, 3):
            logits = self.folder / f"logits-{threads}.safetensors"
            report = self.folder / f"eval-{threads}.json"
            self.run_tool("sq-eval", self.model, "--tokens", self.tokens, "--logits", logits, "--threads", threads,
                          "--json", report)
            self.run_tool("sq-eval", self.model, "--tokens", self.tokens, "--threads", threads, "--generate",
                          "the", "--max-new-tokens", 5, "--json", report)
            found = without_variable(read_json(report))
            results.append((read_safetensors(logits), found))
        self.assertEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])


if __name__ == "__main__":
    unittest.main()
