"""sq-eval --benchmark and --mmlu, and the command line of the original's llama.py."""

import csv
import unittest

from cli_support import (SENTENCE, CliTest, make_answering_model, make_model, read_json, read_safetensors, token_lists,
                         write_json)


class Benchmark(CliTest):
    def setUp(self):
        self.model = make_model(self.folder / "model")
        self.quantized = self.folder / "quantized"
        if not self.quantized.exists():
            self.quantize(self.model, self.quantized, "--uniform-sensitivity", "--sparsity-percent", 0.45)
        self.text = self.folder / "text.txt"
        self.text.write_text(SENTENCE * 40, encoding="utf-8")

    def report(self, *arguments, **more):
        done = self.run_tool("sq-eval", *arguments, "--json", self.folder / "eval.json", **more)
        return read_json(self.folder / "eval.json"), done

    def test_perplexity_is_that_of_whole_windows(self):
        tokens = write_json(self.folder / "tokens.json", token_lists(count=2))
        for model in self.model, self.quantized:
            with self.subTest(model.name):
                report, done = self.report(model, "--tokens", tokens, "--benchmark", 32, "--batch", 2, "--check",
                                           "--dtype", "float32")
                benchmark, whole = report["benchmark"], report["results"][0]
                self.assertAlmostEqual(benchmark["perplexity"] / whole["perplexity"], 1, places=5)
                self.assertGreater(benchmark["tokens_per_second"], 0)
                self.assertGreaterEqual(benchmark["p95_seconds_per_token"], benchmark["median_seconds_per_token"])
                self.assertGreater(benchmark["peak_memory_bytes"], 1 << 20)
                self.assertIn("benchmark: 32 tokens of ", done.stdout)
        dense = self.report(self.model, "--tokens", tokens, "--benchmark", 8)[0]["benchmark"]
        packed = self.report(self.quantized, "--tokens", tokens, "--benchmark", 8)[0]["benchmark"]
        self.assertLess(packed["weight_bytes_per_token"], dense["weight_bytes_per_token"])
        self.assertNotIn("perplexity", packed)

    def test_data_sets(self):
        report, _ = self.report(self.model, "--benchmark", 8, "--dataset", self.text, "--sequence-length", 64,
                                "--windows", 1)
        self.assertEqual(report["benchmark"]["dataset"], str(self.text))
        self.assertEqual(len(report["results"]), 1)
        self.fails("sq-eval", self.model, "--benchmark", 8, names=("wikitext2",))
        data = self.folder / "wikitext-2"
        data.mkdir(exist_ok=True)
        (data / "test.txt").write_text(SENTENCE * 40, encoding="utf-8")
        report, _ = self.report(self.model, "--benchmark", 8, "--data-dir", self.folder)
        self.assertEqual(report["benchmark"]["dataset"], "wikitext2")

    def test_usage(self):
        for arguments in (["--benchmark", 0], ["--check"], ["--batch", 2], ["--benchmark", 8, "--batch", 0],
                          ["--shots", 3], ["--subjects", "anatomy"], ["--mmlu-logits", "l.safetensors"],
                          ["a", "b"]):
            with self.subTest(arguments):
                self.run_tool("sq-eval", self.model, *arguments, code=2)

    def test_the_originals_command_line(self):
        short = ("--sequence-length", 64, "--windows", 1)
        report, _ = self.report(self.model, self.text, "--eval", *short)
        self.assertEqual([result["dataset"] for result in report["results"]], [str(self.text)])
        self.assertNotIn("benchmark", report)
        report, done = self.report(self.model, self.text, "--benchmark", 8, "--check", "--torch_profile", *short)
        self.assertEqual(report["results"], [])
        self.assertIn("perplexity", report["benchmark"])
        self.assertIn("--torch_profile", done.stderr)
        report, _ = self.report(self.model, self.text, "--benchmark", 8, "--eval", "--nsamples", 128, "--seed", 0,
                                "--num_dense_channels", 10, *short)
        self.assertEqual(len(report["results"]), 1)
        self.assertIn("benchmark", report)

    def test_the_originals_command_line_with_its_file(self):
        file = self.folder / "sq-tiny-w4-s45.pt"
        self.run_tool("sq-pack", "export", self.quantized, "--output", file)
        given = ("--wbits", 4, "--load", file, "--include_sparse", "--sequence-length", 64, "--windows", 1)
        report, _ = self.report(self.model, self.text, *given, "--eval")
        same, _ = self.report(self.quantized, self.text, "--sequence-length", 64, "--windows", 1)
        self.assertEqual(report["results"][0]["perplexity"], same["results"][0]["perplexity"])
        report, _ = self.report(self.model, self.text, *given, "--benchmark", 8, "--check")
        self.assertEqual(report["bits"], 4)
        self.assertIn("perplexity", report["benchmark"])
        report, _ = self.report(self.model, self.text, "--wbits", 16, "--eval", "--sequence-length", 64, "--windows", 1)
        self.assertEqual(report["bits"], None)


class Mmlu(CliTest):
    def tree(self, questions):
        for split, rows in (("dev", questions[:5]), ("test", questions)):
            (self.folder / split).mkdir(exist_ok=True)
            for subject in ("anatomy", "astronomy"):
                with open(self.folder / split / f"{subject}_{split}.csv", "w", encoding="utf-8", newline="") as file:
                    csv.writer(file).writerows(rows)
        return self.folder

    def test_accuracy_adds_up_for_dense_and_quantized(self):
        folder = self.tree([[f"What is {i}?\nSay \"it\".", f"{i}", "one, two", "", "none", "ABCD"[i % 4]]
                            for i in range(12)])
        model = make_answering_model(self.folder / "model")
        quantized = self.folder / "quantized"
        self.quantize(model, quantized, "--uniform-sensitivity")
        for path in model, quantized:
            logits = self.folder / "logits.safetensors"
            done = self.run_tool("sq-eval", path, "--mmlu", folder, "--json", self.folder / "eval.json",
                                 "--mmlu-logits", logits)
            mmlu = read_json(self.folder / "eval.json")["mmlu"]
            self.assertEqual([entry["subject"] for entry in mmlu["subjects"]], ["anatomy", "astronomy"])
            self.assertEqual({entry["category"] for entry in mmlu["categories"]}, {"STEM", "other"})
            for entry in mmlu["subjects"]:
                expected = sum(a == "ABCD"[i % 4] for i, a in enumerate(entry["answers"]))
                self.assertEqual((entry["questions"], entry["correct"]), (12, expected))
            self.assertEqual(mmlu["correct"], sum(entry["correct"] for entry in mmlu["subjects"]))
            self.assertEqual(mmlu["questions"], 24)
            self.assertEqual(mmlu["shots"], 5)
            self.assertRegex(done.stdout, r"(?m)^  all +\d+\.\d\d %")
            self.assertEqual(read_safetensors(logits)["mmlu.anatomy"][:2], ("F32", [12, 4]))

    def test_failures_are_one_line(self):
        folder = self.tree([["q", "1", "2", "3", "4", "A"]] * 5)
        model = make_answering_model(self.folder / "model")
        self.run_tool("sq-eval", model, "--mmlu", folder, "--subjects", "anatomy")
        self.fails("sq-eval", model, "--mmlu", folder, "--subjects", "anatomy,biology", names=("biology_test.csv",))
        self.fails("sq-eval", model, "--mmlu", folder, "--shots", 6, names=("anatomy_dev.csv", 6, 5))
        self.fails("sq-eval", model, "--mmlu", self.folder / "none", names=("none", "test/"))
        (folder / "test" / "anatomy_test.csv").write_text("q,1,2,3,4,A\nq,1,2\n", encoding="utf-8")
        self.fails("sq-eval", model, "--mmlu", folder, names=("anatomy_test.csv", "row 2", 6, 3))
        plain = make_model(self.folder / "plain")
        self.fails("sq-eval", plain, "--mmlu", folder, "--subjects", "astronomy", names=('" A"',))


if __name__ == "__main__":
    unittest.main()
