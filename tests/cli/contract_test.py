"""The tools keep the contract of their command line: flags, exit codes, streams, JSON, and every kind of model and
of calibration."""

import gzip
import json
import os
import shutil
import struct
import subprocess
import unittest

from cli_support import (SENTENCE, CliTest, command, digests, environment, is_log, make_model,
                         read_json, read_safetensors, token_lists, write_json)

FLAGS = {
    "sq-quantize": """--output --bits --sparsity-percent --sensitive-percent --outlier-percent --outlier-range
        --calibration --data-dir --text-field --samples --sequence-length --seed --sensitivity --save-sensitivity
        --uniform-sensitivity --device --threads --dtype --max-memory --work-dir --resume --json --quiet
         --version --ignore-config-field --strict""",
    "sq-eval": """--load --wbits --include-sparse --dataset --data-dir --text-field --sequence-length --windows --mmlu --shots
        --subjects --mmlu-logits --benchmark --check --batch --generate --max-new-tokens --tokenize --tokens
        --logits --save-tokens --json --baseline --max-increase-percent --device --threads --dtype --max-memory
        --quiet --version --ignore-config-field --strict""",
    "sq-pack": "export import dequantize inspect verify --threads --quiet --version --ignore-config-field --strict",
}
SAMPLES = ("--samples", 2, "--sequence-length", 16)


class CommandLine(CliTest):
    def test_help_names_every_flag_and_has_examples(self):
        for tool, flags in FLAGS.items():
            with self.subTest(tool):
                done = self.run_tool(tool, "--help")
                self.assertEqual(done.stderr, "")
                self.assertIn("Examples:", done.stdout)
                self.assertIn(f"\n  {tool} ", done.stdout)
                for flag in flags.split():
                    self.assertRegex(done.stdout, rf"(?<![\w-]){flag}(?![\w-])")

    def test_version_names_commit_libtorch_and_instructions(self):
        for tool in FLAGS:
            done = self.run_tool(tool, "--version")
            self.assertRegex(done.stdout, r"^squeezellm \d+\.\d+\.\d+ \(\w+\), LibTorch \d+\.\d+\.\d+, \S")
            self.assertEqual(done.stderr, "")

    def test_a_misspelt_flag_is_what_the_error_names(self):
        for tool, *arguments in (("sq-quantize", "m", "--outptu", "o"), ("sq-eval", "m", "--mlmu", "d", "--shots", 3),
                                 ("sq-pack", "export", "m", "--outptu", "o")):
            with self.subTest(tool):
                done = self.run_tool(tool, *arguments, code=2)
                self.assertIn(next(flag for flag in arguments if str(flag).startswith("--")), done.stderr)
                self.assertNotIn("required", done.stderr)

    def test_usage_errors_exit_with_2(self):
        for tool, *arguments in (
                ("sq-quantize", "m", "--output", "o", "--bitz", 3), ("sq-quantize", "m"),
                ("sq-quantize", "m", "--output", "o", "--bits", 5),
                ("sq-quantize", "m", "--output", "o", "--sparsity-percent", -1),
                ("sq-quantize", "m", "--output", "o", "--sparsity-percent", 1, "--outlier-range", 2),
                ("sq-quantize", "m", "--output", "o", "--samples", 0),
                ("sq-quantize", "m", "--output", "o", "--max-memory", "much"),
                ("sq-quantize", "m", "--output", "o", "--uniform-sensitivity", "--calibration", "c4"),
                ("sq-eval",), ("sq-eval", "m", "--unknown"), ("sq-eval", "m", "--logits", "l.safetensors"),
                ("sq-eval", "m", "--max-increase-percent", 1), ("sq-eval", "m", "--windows", -1),
                ("sq-eval", "m", "--dtype", "int8"), ("sq-pack",), ("sq-pack", "shred", "m"),
                ("sq-pack", "export", "m"), ("sq-pack", "import", "f.pt", "--output", "o")):
            with self.subTest(f"{tool} {arguments}"):
                done = self.run_tool(tool, *arguments, code=2)
                self.assertEqual(done.stdout, "")
                self.assertNotEqual(done.stderr, "")


class Models(CliTest):
    """Every kind of model through quantization and evaluation."""

    def check_model(self, name, *flags, bits=4, percent=0.45):
        model = make_model(self.folder / name, *flags)
        output = self.folder / f"{name}-q"
        self.quantize(model, output, "--bits", bits, "--sparsity-percent", percent, "--uniform-sensitivity")
        report = read_json(output / "report.json")
        tokens = write_json(self.folder / "tokens.json", token_lists())
        self.run_tool("sq-eval", output, "--tokens", tokens, "--json", self.folder / "eval.json")
        evaluated = read_json(self.folder / "eval.json")
        self.assertEqual(evaluated["bits"], bits)
        self.assertAlmostEqual(evaluated["sparsity"], report["sparsity_percent"], places=9)
        perplexity = evaluated["results"][0]["perplexity"]
        self.run_tool("sq-eval", model, "--tokens", tokens, "--json", self.folder / "eval.json")
        dense = read_json(self.folder / "eval.json")
        self.assertIsNone(dense["bits"])
        # Rounding to 16 values moves a random model's perplexity by a few percent.
        self.assertLess(abs(perplexity / dense["results"][0]["perplexity"] - 1), 0.5 if bits < 4 else 0.2)
        return model, output

    def test_float16(self):
        self.check_model("f16")

    def test_bfloat16(self):
        self.check_model("bf16", "--dtype", "bfloat16", bits=3)

    def test_float32_tied(self):
        _, output = self.check_model("f32", "--dtype", "float32", "--tied")
        self.assertNotIn("lm_head.weight", read_safetensors(output / "model.safetensors"))

    def test_sharded_gives_the_bytes_of_a_single_file(self):
        _, output = self.check_model("shards", "--shards", 3)
        single = make_model(self.folder / "single")
        self.quantize(single, self.folder / "single-q", "--sparsity-percent", 0.45, "--uniform-sensitivity")
        self.assertEqual(digests(output), digests(self.folder / "single-q"))

    def test_biases_are_kept(self):
        model, output = self.check_model("biases", "--attention-bias", "--mlp-bias", "--dtype", "float32")
        before = read_safetensors(model / "model.safetensors")
        after = read_safetensors(output / "model.safetensors")
        biases = [name for name in before if name.endswith(".bias")]
        self.assertEqual(len(biases), 14)
        for name in biases:
            self.assertEqual(before[name], after[name])

    def test_two_bits(self):
        self.check_model("two", bits=2, percent=5)

    def test_folder_names_may_end_in_a_slash(self):
        model = make_model(self.folder / "slash")
        self.quantize(f"{model}/", f"{self.folder}/slash-q/", "--uniform-sensitivity")
        self.assertIn("model.safetensors", digests(self.folder / "slash-q"))
        self.assertFalse((self.folder / "slash-q.work").exists())


class Outliers(CliTest):
    def test_sparsity_is_what_was_asked_for(self):
        model = make_model(self.folder / "m", "--hidden", 128)
        for flags, sensitive, magnitude in (
                (("--sparsity-percent", 0), 0, 0), (("--sparsity-percent", 0.05), 0.05, 0),
                (("--sparsity-percent", 0.45), 0.05, 0.4), (("--sparsity-percent", 5), 0.05, 4.95),
                (("--sensitive-percent", 1, "--outlier-percent", 2), 1, 2), (("--sensitive-percent", 1), 1, 0)):
            with self.subTest(flags):
                output = self.folder / "-".join(map(str, flags)).strip("-")
                done = self.quantize(model, output, "--uniform-sensitivity", *flags)
                report = read_json(output / "report.json")
                for layer in report["layers"]:
                    for kind, percent in (("sensitive", sensitive), ("magnitude", magnitude)):
                        expected = layer["weights"] * percent / 100
                        self.assertLessEqual(abs(layer[f"{kind}_outliers"] - expected), 1.0)
                self.assertIn(f"{report['sparsity_percent']:.3f} % outliers", done.stdout)
                self.assertLessEqual(report["distortion"], report["distortion_without_outliers"] * 1.0001)

    def test_range_keeps_more_when_it_is_narrower(self):
        model = make_model(self.folder / "r")
        percents = []
        for outlier_range in (1.2, 2.0):
            output = self.folder / f"range-{outlier_range}"
            self.quantize(model, output, "--uniform-sensitivity", "--outlier-range", outlier_range)
            percents.append(read_json(output / "report.json")["sparsity_percent"])
        self.assertGreater(percents[0], percents[1])
        # A normal distribution has 1.1e-2 beyond 0.674 * (1 + 2 * 1.2) deviations ... of 2.0 8e-4.
        self.assertLess(percents[1], 0.3)
        self.assertGreater(percents[1], 0)


class Calibration(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model(cls.folder / "model")
        cls.texts = cls.folder / "texts"
        cls.texts.mkdir()
        documents = [f"{number} " + SENTENCE * 4 for number in range(6)]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in documents)
        (cls.texts / "a.jsonl").write_text(lines)
        with gzip.open(cls.texts / "b.jsonl.gz", "wt") as file:
            file.write(lines)
        (cls.texts / "c.txt").write_text("".join(documents))
        data = cls.folder / "data"
        (data / "wikitext-2-raw-v1").mkdir(parents=True)
        for split in ("train", "test"):
            (data / f"wikitext-2-raw-v1/wiki.{split}.raw").write_text(" \n = A title = \n \n" + SENTENCE * 9 + "\n")
        (data / "c4").mkdir()
        for name in ("c4-train.00000-of-01024", "c4-validation.00000-of-00008"):
            with gzip.open(data / f"c4/{name}.json.gz", "wt") as file:
                file.write(lines)
        cls.data = data

    def check(self, name, source, *flags, **more):
        output = self.folder / name
        done = self.quantize(self.model, output, "--calibration", source, *SAMPLES, *flags, **more)
        calibration = read_json(output / "report.json")["calibration"]
        self.assertEqual(calibration["source"], str(source))
        self.assertEqual(calibration["samples"], 2)
        self.assertGreater(calibration["loss"], 0)
        self.assertTrue(all(is_log(line) for line in done.stderr.splitlines()), done.stderr)
        return digests(output)

    def test_paths(self):
        for name in ("a.jsonl", "b.jsonl.gz", "c.txt"):
            with self.subTest(name):
                self.check(f"out-{name}", self.texts / name)
        self.assertEqual(digests(self.folder / "out-a.jsonl"), digests(self.folder / "out-b.jsonl.gz"))
        self.check("out-folder", self.texts)

    def test_the_same_texts_in_other_forms(self):
        documents = [json.loads(line) for line in (self.texts / "a.jsonl").read_text().splitlines()]
        folder = self.folder / "forms"
        (folder / "inside").mkdir(parents=True)
        write_json(folder / "objects.json", documents)
        (folder / "indented.json").write_text(json.dumps(documents, indent=1))
        write_json(folder / "strings.json", [document["text"] for document in documents])
        (folder / "utf16.jsonl").write_bytes((self.texts / "a.jsonl").read_text().encode("utf-16"))
        (folder / "content.jsonl").write_text("".join(
            json.dumps({"content": document["text"], "text": ""}) + "\n" for document in documents))
        shutil.copy(self.texts / "a.jsonl", folder / "inside")
        write_json(folder / "inside/dataset_info.json", {"features": {}})
        expected = self.check("out-lines", self.texts / "a.jsonl")
        for name, *flags in (("objects.json",), ("indented.json",), ("strings.json",), ("utf16.jsonl",), ("inside",),
                             ("content.jsonl", "--text-field", "content")):
            with self.subTest(name):
                self.assertEqual(self.check(f"out-{name}", folder / name, *flags), expected)
        done = self.run_tool("sq-eval", self.model, "--dataset", folder / "inside", "--sequence-length", 32)
        self.assertIn('inside: 1 file read (a.jsonl); skipped: dataset_info.json (no "text")', done.stderr)

    def test_named_sets_from_a_folder_and_from_the_environment(self):
        for name in ("c4", "wikitext2"):
            with self.subTest(name):
                by_flag = self.check(f"{name}-flag", name, "--data-dir", self.data)
                self.assertEqual(by_flag, self.check(f"{name}-variable", name, SQ_DATA_DIR=str(self.data)))

    def test_seed_chooses_the_samples(self):
        first = self.check("seed-0", "c4", "--data-dir", self.data)
        self.assertNotEqual(first, self.check("seed-1", "c4", "--data-dir", self.data, "--seed", 1))

    def test_self(self):
        self.check("self", "self")

    def test_token_ids_need_no_tokenizer(self):
        bare = make_model(self.folder / "bare", "--no-tokenizer")
        tokens = write_json(self.folder / "ids.json", token_lists(2, 20))
        self.quantize(bare, self.folder / "bare-q", "--calibration", tokens)
        self.assertEqual(read_json(self.folder / "bare-q/report.json")["calibration"]["tokens"], 40)
        self.run_tool("sq-eval", self.folder / "bare-q", "--tokens", tokens)

    def test_a_saved_sensitivity_gives_the_same_bytes(self):
        saved = self.folder / "saved"
        flags = ("--bits", 3, "--sparsity-percent", 0.45)
        by_pass = self.check("by-pass", self.texts, "--save-sensitivity", saved, *flags)
        names = {name for path in saved.glob("*.safetensors") for name in read_safetensors(path)}
        self.assertIn("model.layers.1.mlp.down_proj.weight", names)
        self.assertEqual(len(names), 14)
        self.quantize(self.model, self.folder / "by-file", "--sensitivity", saved, *flags)
        self.assertEqual(by_pass, digests(self.folder / "by-file"))
        self.quantize(self.model, self.folder / "uniform", "--uniform-sensitivity", *flags)
        self.assertNotEqual(by_pass, digests(self.folder / "uniform"))

    def test_little_memory_gives_the_same_bytes(self):
        tokens = write_json(self.folder / "many.json", token_lists(40, 64))
        for name, flags in (("roomy", ()), ("narrow", ("--max-memory", "1M"))):
            self.quantize(self.model, self.folder / name, "--calibration", tokens, *flags)
        self.assertEqual(digests(self.folder / "roomy"), digests(self.folder / "narrow"))

    def test_datasets_of_evaluation(self):
        sources = [self.texts / "a.jsonl", self.texts / "b.jsonl.gz", self.texts / "c.txt", self.texts,
                   "wikitext2", "c4"]
        flags = [flag for source in sources for flag in ("--dataset", source)]
        done = self.run_tool("sq-eval", self.model, *flags, "--data-dir", self.data, "--sequence-length", 32,
                             "--windows", 3, "--json", self.folder / "eval.json")
        results = read_json(self.folder / "eval.json")["results"]
        self.assertEqual([result["dataset"] for result in results], [str(source) for source in sources])
        self.assertEqual([line.split(": perplexity ")[0] for line in done.stdout.splitlines()],
                         [str(source) for source in sources])
        for result in results:
            self.assertEqual((result["windows"], result["tokens"], result["sequence_length"]), (3, 96, 32))
        self.assertEqual(results[0]["perplexity"], results[1]["perplexity"])

    def test_reports_have_their_keys(self):
        output = self.folder / "keys"
        done = self.quantize(self.model, output, "--calibration", self.texts, *SAMPLES, "--json",
                             self.folder / "keys.json")
        report = read_json(output / "report.json")
        self.assertEqual(report, read_json(self.folder / "keys.json"))
        for key in ("model", "version", "libtorch", "options", "bits", "threads", "cpu", "calibration", "seconds",
                    "weights", "nonzeros", "sparsity_percent", "bits_per_weight", "distortion", "layers", "bytes",
                    "model_bytes", "peak_memory_bytes"):
            self.assertIn(key, report)
        self.assertEqual(report["calibration"]["seed"], 0)
        self.assertEqual(len(report["layers"]), 14)
        for key in ("name", "bits", "nonzeros", "distortion", "seconds"):
            self.assertIn(key, report["layers"][0])
        files = [path for path in output.iterdir() if path.suffix == ".safetensors"]
        self.assertEqual(report["bytes"], sum(len(data) for path in files
                                              for _, _, data in read_safetensors(path).values()))
        self.assertTrue(done.stdout.startswith(f"{output}: 4 bits"), done.stdout)
        self.assertFalse(output.with_name("keys.work").exists())


class Evaluation(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = make_model(cls.folder / "model")
        cls.tokens = write_json(cls.folder / "tokens.json", token_lists())

    def test_report_has_the_keys_of_the_contract(self):
        self.run_tool("sq-eval", self.model, "--tokens", self.tokens, "--json", self.folder / "eval.json")
        report = read_json(self.folder / "eval.json")
        for key in ("model", "bits", "sparsity", "results", "version"):
            self.assertIn(key, report)
        self.assertEqual(list(report["results"][0]), ["dataset", "perplexity", "nll", "windows", "tokens",
                                                      "sequence_length", "seconds"])

    def test_quiet_says_nothing_but_results(self):
        tokens = self.tokens
        self.assertEqual(self.run_tool("sq-eval", self.model, "--tokens", tokens, "--quiet").stderr, "")
        done = self.quantize(self.model, self.folder / "q", "--calibration", tokens, "--quiet")
        self.assertEqual(done.stderr, "")
        self.assertIn("4 bits", done.stdout)
        done = self.quantize(self.model, self.folder / "loud", "--calibration", tokens)
        self.assertIn("calibration", done.stderr)
        self.assertNotIn("calibration", done.stdout)
        self.assertEqual(self.run_tool("sq-pack", "verify", self.folder / "q", "--quiet").stderr, "")

    def test_gate(self):
        baseline, same = self.folder / "baseline.json", ("--tokens", self.tokens)
        self.run_tool("sq-eval", self.model, *same, "--json", baseline)
        gate = ("--baseline", baseline)
        self.run_tool("sq-eval", self.model, *same, *gate, "--max-increase-percent", 0)
        better = read_json(baseline)
        better["results"][0]["perplexity"] /= 1.02
        write_json(baseline, better)
        done = self.run_tool("sq-eval", self.model, *same, *gate, code=3)
        self.assertRegex(done.stderr, r"perplexity .* is 2\.00 % above the baseline's")
        self.assertIn("perplexity", done.stdout)
        self.run_tool("sq-eval", self.model, *same, *gate, "--max-increase-percent", 2.1)
        self.fails("sq-eval", self.model, *same, "--windows", 1, *gate, names=(baseline, "nothing to compare"))
        for text in ("{}", "[]", "{", '{"results": [1, {}]}'):
            baseline.write_text(text)
            self.fails("sq-eval", self.model, *same, *gate, names=(baseline,))
        self.fails("sq-eval", self.model, *same, "--baseline", self.folder / "none.json",
                   names=("none.json", "no such file"))

    def test_logits_agree_with_generation(self):
        prompt = SENTENCE
        done = self.run_tool("sq-eval", self.model, "--generate", prompt, "--max-new-tokens", 6, "--json",
                             self.folder / "generated.json")
        generated = read_json(self.folder / "generated.json")["generated"]
        self.assertTrue(done.stdout.startswith(prompt))
        texts = write_json(self.folder / "texts.json", [prompt, ""])
        ids = json.loads(self.run_tool("sq-eval", self.model, "--tokenize", texts).stdout)
        self.assertEqual(ids[1], [])
        tokens = write_json(self.folder / "ids.json", [ids[0] + generated["ids"], [1, 2]])
        logits = self.folder / "logits.safetensors"
        self.run_tool("sq-eval", self.model, "--tokens", tokens, "--logits", logits)
        tensors = read_safetensors(logits)
        dtype, (rows, vocabulary), data = tensors["logits.0"]
        self.assertEqual((dtype, rows, vocabulary), ("F32", len(ids[0]) + len(generated["ids"]), 270))
        self.assertEqual(tensors["logits.1"][1], [2, 270])
        values = struct.unpack(f"<{rows * vocabulary}f", data)
        for step, expected in enumerate(generated["ids"]):
            row = len(ids[0]) - 1 + step
            scores = values[row * vocabulary:(row + 1) * vocabulary]
            self.assertEqual(scores.index(max(scores)), expected)

    def test_tokenize_prints_a_list_and_nothing_else(self):
        texts = write_json(self.folder / "the.json", ["the of", "\u00e9\n"])
        done = self.run_tool("sq-eval", self.model, "--tokenize", texts)
        self.assertEqual(done.stderr, "")
        ids = json.loads(done.stdout)
        self.assertEqual([len(ids[0]), len(ids[1])], [2, 3])

    def test_nothing_to_do_is_said(self):
        self.fails("sq-eval", self.model, names=("nothing to evaluate",))

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full here")
    def test_results_that_cannot_be_written_are_an_error(self):
        with open("/dev/full", "w") as full:
            done = subprocess.run(command("sq-eval", self.model, "--tokens", self.tokens), stdout=full,
                                  stderr=subprocess.PIPE, text=True, check=False, env=environment())
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"(?m)^error: standard output: .*\n$")


if __name__ == "__main__":
    unittest.main()
