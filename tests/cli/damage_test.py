"""Damaged input, missing room: one line that names the place, exit 1, and nothing left behind."""

import gzip
import math
import os
import shutil
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

from cli_support import (SENTENCE, CliTest, command, digests, environment, make_model, read_json, read_safetensors, token_lists,
                         write_json, write_safetensors)

PROJECTION = "model.layers.1.mlp.down_proj.weight"


def cut(name, keep):
    def damage(model):
        data = (model / name).read_bytes()
        (model / name).write_bytes(data[:int(len(data) * keep)])
    return damage


def overwrite(name, data):
    return lambda model: (model / name).write_bytes(data)


def remove(name):
    return lambda model: (model / name).unlink()


def edit_json(name, **values):
    def damage(model):
        content = read_json(model / name)
        content.update(values)
        write_json(model / name, {key: value for key, value in content.items() if value != "REMOVE"})
    return damage


def edit_tensor(name, change, file="model.safetensors"):
    """`change` turns (dtype, shape, bytes) into another, or into None: no such tensor any more."""
    def damage(model):
        tensors = read_safetensors(model / file)
        changed = change(*tensors.pop(name, ("F16", [], b"")))
        if changed is not None:
            tensors[name] = changed
        write_safetensors(model / file, tensors)
    return damage


def put(number, code="<e"):
    """Overwrites the sixth value."""
    def change(dtype, shape, data):
        size = struct.calcsize(code)
        return dtype, shape, data[:5 * size] + struct.pack(code, number) + data[6 * size:]
    return change


HUGE_HEADER = struct.pack("<Q", 1 << 62) + b"{}"
DEEP = b"[" * 100000

# name, damage, what the line must name
MODELS = [
    ("empty weights", overwrite("model.safetensors", b""), ["model.safetensors", "truncated"]),
    ("weights cut in the header", cut("model.safetensors", 0.001), ["model.safetensors", "truncated"]),
    ("weights cut in the data", cut("model.safetensors", 0.9), ["model.safetensors", "truncated", "tensor"]),
    ("header of many exabytes", overwrite("model.safetensors", HUGE_HEADER), ["model.safetensors"]),
    ("header that is no JSON", overwrite("model.safetensors", struct.pack("<Q", 4) + b"{{{{"),
     ["model.safetensors", "JSON"]),
    ("header that is too deep", overwrite("model.safetensors", struct.pack("<Q", 100000) + DEEP),
     ["model.safetensors", "nested"]),
    ("no weights", remove("model.safetensors"), ["no weights"]),
    ("missing tensor", edit_tensor(PROJECTION, lambda *_: None), [PROJECTION, "missing"]),
    ("wrong shape", edit_tensor(PROJECTION, lambda dtype, shape, data: (dtype, shape[::-1], data)),
     ["model.safetensors", PROJECTION, "[64, 96]", "[96, 64]"]),
    ("wrong shape of a norm", edit_tensor("model.norm.weight", lambda dtype, _, data: (dtype, [8, 8], data)),
     ["model.norm.weight", "[64]", "[8, 8]"]),
    ("integers as weights", edit_tensor(PROJECTION, lambda _, shape, data: ("I16", shape, data)),
     [PROJECTION, "I16"]),
    ("sizes that do not fit", edit_tensor(PROJECTION, lambda dtype, _, data: (dtype, [2 ** 40, 2 ** 40], data)),
     [PROJECTION]),
    ("NaN as a weight", edit_tensor(PROJECTION, put(math.nan)), ["model.safetensors", PROJECTION, "nan"]),
    ("infinite norm", edit_tensor("model.norm.weight", put(math.inf)), ["model.norm.weight", "inf"]),
    ("NaN in the embeddings", edit_tensor("model.embed_tokens.weight", put(math.nan)),
     ["model.embed_tokens.weight", "nan"]),
    ("no config", remove("config.json"), ["config.json"]),
    ("config cut off", cut("config.json", 0.5), ["config.json", "JSON"]),
    ("config is a list", overwrite("config.json", b"[]"), ["config.json", "model_type"]),
    ("config too deep", overwrite("config.json", DEEP), ["config.json", "nested"]),
    ("unknown model", edit_json("config.json", model_type="mamba"), ["config.json", "model_type", "mamba"]),
    ("no model type", edit_json("config.json", model_type="REMOVE"), ["config.json", "model_type"]),
    ("size as text", edit_json("config.json", hidden_size="64"), ["config.json", "hidden_size"]),
    ("negative size", edit_json("config.json", num_hidden_layers=-1), ["config.json", "num_hidden_layers"]),
    ("other method", edit_json("config.json", quantization_config={"quant_method": "awq", "bits": 4}),
     ["config.json", "awq"]),
    ("more layers than weights", edit_json("config.json", num_hidden_layers=3), ["model.layers.2", "missing"]),
]

SHARDS = [
    ("missing shard", remove("model-00002-of-00003.safetensors"), ["model-00002-of-00003.safetensors"]),
    ("shard cut off", cut("model-00003-of-00003.safetensors", 0.5), ["model-00003-of-00003.safetensors"]),
    ("index without a map", edit_json("model.safetensors.index.json", weight_map="REMOVE"),
     ["model.safetensors.index.json", "weight_map"]),
    ("index cut off", cut("model.safetensors.index.json", 0.5), ["model.safetensors.index.json", "JSON"]),
    ("index with too few shards", edit_json("model.safetensors.index.json", weight_map={
        "model.embed_tokens.weight": "model-00001-of-00003.safetensors"}), ["missing"]),
    ("index that names too much", edit_json("model.safetensors.index.json", weight_map={
        "model.extra": "model-00001-of-00003.safetensors"}), ["missing"]),
    ("shard outside the folder", edit_json("model.safetensors.index.json", weight_map={
        "model.embed_tokens.weight": "../model.safetensors"}), ["../model.safetensors"]),
]

TOKENS = [
    ("[[1, 2", "JSON"), ("[]", "empty"), ("[[]]", "empty"), ("[1]", "list 0"), ('[["a", 1]]', "list 0"),
    ("[[1, -2]]", "-2"), ("[[1, 2.5]]", "list 0"), ("[[1, 99999999999]]", "99999999999"), ("[[1, 2], [3, 270]]", "270"),
    ("[[1, 2], [3]]", "at least 2"),
]

CALIBRATIONS = [
    ("none.jsonl", None, ["none.jsonl"]), ("bad.jsonl", b'{"text": "a"}\n{"text": 3}\n', ["bad.jsonl", "line 2"]),
    ("cut.jsonl.gz", gzip.compress(b'{"text": "a b c"}\n' * 500)[:-20], ["cut.jsonl.gz"]),
    ("data.csv", b"a,b\n", ["data.csv"]), ("short.txt", b"the", ["short.txt", "token"]),
    ("empty.txt", b"", ["empty.txt"]), ("object.json", b"{}", ["object.json", '"text"']),
    ("other.jsonl", b'{"content": "a"}\n', ["other.jsonl", "line 1", '"text"', "--text-field", '"content"']),
    ("chat.jsonl", b'{"messages": [{"role": "user", "content": "a"}]}\n', ["chat.jsonl", "apply_chat_template"]),
    ("latin1.txt", b"caf\xe9", ["latin1.txt", "byte 3", "UTF-8"]),
    ("no-mark.txt", "caf\u00e9".encode("utf-16-le"), ["no-mark.txt", "byte 1", "UTF-16"]),
    ("rubbish.txt.gz", gzip.compress(b"a") + b"b", ["rubbish.txt.gz", "byte 21", "gzip"]),
    ("pointer.jsonl", b"version https://git-lfs.github.com/spec/v1\n", ["pointer.jsonl", "git lfs pull"]),
    ("page.json", b"<!DOCTYPE html>\n", ["page.json", "HTML"]),
]


class Damage(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.whole = make_model(cls.folder / "whole")
        cls.sharded = make_model(cls.folder / "sharded", "--shards", 3)
        cls.tokens = write_json(cls.folder / "tokens.json", token_lists())

    def setUp(self):
        self.before = self.names()
        self.addCleanup(lambda: self.assertEqual(self.names(), self.before))

    def names(self):
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}

    def damaged(self, damage, whole):
        model = self.folder / "damaged"
        shutil.copytree(whole, model)
        self.addCleanup(shutil.rmtree, model, ignore_errors=True)
        damage(model)
        return model

    def check_models(self, table, whole):
        for name, damage, expected in table:
            with self.subTest(name):
                model = self.damaged(damage, whole)
                before = self.names()
                self.fails("sq-quantize", model, "--output", self.folder / "out", "--calibration", self.tokens,
                           names=expected)
                # Both tools open a model the same way; what they compute with it differs.
                if expected[-1] in ("nan", "inf", "truncated"):
                    self.fails("sq-eval", model, "--tokens", self.tokens, "--logits",
                               self.folder / "logits.safetensors", names=expected)
                self.assertEqual(self.names(), before)
                shutil.rmtree(model)

    def test_models(self):
        self.check_models(MODELS, self.whole)

    def test_shards(self):
        self.check_models(SHARDS, self.sharded)

    def test_weights_are_checked_without_calibration_too(self):
        model = self.damaged(edit_tensor(PROJECTION, put(math.nan)), self.whole)
        self.fails("sq-quantize", model, "--output", self.folder / "out", "--uniform-sensitivity",
                   names=(PROJECTION, "nan"))
        # Found before any work.
        self.assertFalse((self.folder / "out.work").exists())
        shutil.rmtree(model)

    def test_tokenizers(self):
        text = self.folder / "text.txt"
        text.write_text(SENTENCE * 20)
        for name, damage in (("cut off", cut("tokenizer.json", 0.7)), ("missing", remove("tokenizer.json")),
                             ("no model", overwrite("tokenizer.json", b"{}")),
                             ("too deep", overwrite("tokenizer.json", DEEP))):
            with self.subTest(name):
                model = self.damaged(damage, self.whole)
                for tool, *flags in (("sq-quantize", "--output", self.folder / "out", "--calibration", text),
                                     ("sq-eval", "--dataset", text), ("sq-eval", "--generate", "a")):
                    self.fails(tool, model, *flags, names=(model,))
                shutil.rmtree(model)
        text.unlink()

    def test_token_lists(self):
        path = self.folder / "list.json"
        for text, expected in TOKENS:
            with self.subTest(text):
                path.write_text(text)
                self.fails("sq-quantize", self.whole, "--output", self.folder / "out", "--calibration", path,
                           names=(expected,))
                self.fails("sq-eval", self.whole, "--tokens", path, "--logits", self.folder / "logits.safetensors",
                           names=(expected,))
                path.unlink()

    def test_calibrations(self):
        for name, data, expected in CALIBRATIONS:
            with self.subTest(name):
                path = self.folder / name
                if data is not None:
                    path.write_bytes(data)
                self.fails("sq-quantize", self.whole, "--output", self.folder / "out", "--calibration", path,
                           "--sequence-length", 16, names=expected)
                if data is not None:
                    path.unlink()
        self.fails("sq-quantize", self.whole, "--output", self.folder / "out", "--calibration", "c4",
                   names=("c4", "--data-dir"))
        self.fails("sq-quantize", self.whole, "--output", self.folder / "out", "--data-dir", self.folder,
                   names=("c4", self.folder, "c4-train.00000-of-01024.json.gz"))

    def test_sensitivities(self):
        saved = self.folder / "saved"
        self.quantize(self.whole, self.folder / "done", "--calibration", self.tokens, "--save-sensitivity", saved)
        shutil.rmtree(self.folder / "done")
        shard = "model-00001-of-00002.safetensors"
        tensor = "model.layers.0.self_attn.q_proj.weight"
        for name, damage, expected in (
                ("negative", edit_tensor(tensor, put(-1.0, "<f"), shard), [tensor, "-1"]),
                ("NaN", edit_tensor(tensor, put(math.nan, "<f"), shard), [tensor, "nan"]),
                ("missing tensor", edit_tensor(tensor, lambda *_: None, shard), [tensor, "missing"]),
                ("wrong shape", edit_tensor(tensor, lambda dtype, _, data: (dtype, [32, 128], data), shard),
                 [tensor, "[64, 64]", "[32, 128]"]),
                ("cut off", cut(shard, 0.5), [shard, "truncated"])):
            with self.subTest(name):
                damaged = self.damaged(damage, saved)
                self.fails("sq-quantize", self.whole, "--output", self.folder / "out", "--sensitivity", damaged,
                           names=expected)
                self.assertEqual([path.name for path in self.folder.glob("out*")], [])
                shutil.rmtree(damaged)
        self.fails("sq-quantize", self.whole, "--output", self.folder / "out", "--sensitivity",
                   self.folder / "none", names=(self.folder / "none",))
        shutil.rmtree(saved)

    def test_places(self):
        out, taken = self.folder / "out", self.folder / "taken"
        flags = ("--calibration", self.tokens)
        self.fails("sq-quantize", self.folder / "none", "--output", out, names=(self.folder / "none", "no such"))
        self.fails("sq-eval", self.folder / "none", "--tokens", self.tokens, names=(self.folder / "none",))
        self.fails("sq-quantize", self.tokens, "--output", out, names=(self.tokens,))
        taken.mkdir()
        (taken / "precious").write_text("mine")
        for more in (("--output", taken), ("--output", out, "--save-sensitivity", taken),
                     ("--output", out, "--work-dir", taken), ("--output", self.tokens),
                     ("--output", out, "--work-dir", self.tokens),
                     ("--output", out, "--work-dir", taken, "--resume")):
            self.fails("sq-quantize", self.whole, *flags, *more, names=(more[-1] if more[-1] != "--resume" else taken,))
        self.assertEqual((taken / "precious").read_text(), "mine")
        shutil.rmtree(taken)
        self.fails("sq-eval", self.whole, "--tokens", self.tokens, "--logits", self.folder / "no/l.safetensors",
                   names=("no/l.safetensors",))
        done = self.run_tool("sq-eval", self.whole, "--tokens", self.tokens, "--json", self.folder / "no/r.json",
                             code=1)
        self.assertEqual(done.stdout, "")  # said before the work
        texts = write_json(self.folder / "texts.json", ["a", 3])
        self.fails("sq-eval", self.whole, "--tokenize", texts, names=(texts, "element 1"))
        texts.unlink()

    def test_quantized_twice(self):
        self.quantize(self.whole, self.folder / "once", "--uniform-sensitivity")
        self.fails("sq-quantize", self.folder / "once", "--output", self.folder / "twice", "--uniform-sensitivity",
                   names=(self.folder / "once", "quantized already"))
        shutil.rmtree(self.folder / "once")

    def test_torch_files(self):
        quantized, file, out = self.folder / "quantized", self.folder / "model.pt", self.folder / "out"
        self.quantize(self.whole, quantized, "--uniform-sensitivity", "--sparsity-percent", 0.45)
        self.run_tool("sq-pack", "export", quantized, "--output", file)
        self.fails("sq-pack", "export", quantized, "--output", file, names=(file, "is there already"))
        self.fails("sq-pack", "export", self.whole, "--output", self.folder / "x.pt", names=(self.whole, "qweight"))
        self.fails("sq-pack", "dequantize", self.whole, "--output", out, names=(self.whole, "qweight"))
        self.fails("sq-pack", "dequantize", quantized, "--output", quantized, names=(quantized, "already"))
        data = file.read_bytes()
        for name, damaged in (("empty", b""), ("cut", data[:-2000]), ("half", data[:len(data) // 2]),
                              ("no archive", b"PK" + b"x" * 500), ("no pickle", data.replace(b"data.pkl", b"date.pkl")),
                              ("damaged pickle", data.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v7", 1)),
                              ("other code", data.replace(b"torch._utils", b"posix_utils\n"[:12], 1))):
            with self.subTest(name):
                file.write_bytes(damaged)
                for arguments in (("import", file, "--config", self.whole, "--output", out), ("inspect", file),
                                  ("verify", file)):
                    self.fails("sq-pack", *arguments, names=(file,))
        file.write_bytes(data)
        other = make_model(self.folder / "other", "--layers", 1)
        self.fails("sq-pack", "import", file, "--config", other, "--output", out, "--strict",
                   names=("model.layers.1", "unknown"))
        other = make_model(self.folder / "other", "--layers", 3)
        self.fails("sq-pack", "import", file, "--config", other, "--output", out, names=("model.layers.2", "missing"))
        other = make_model(self.folder / "other", "--intermediate", 128)
        self.fails("sq-pack", "import", file, "--config", other, "--output", out, names=(file, "tensor", "expected"))
        for path in (quantized, other):
            shutil.rmtree(path)
        file.unlink()
        self.fails("sq-pack", "verify", file, names=(file,))


@unittest.skipUnless(hasattr(os, "geteuid") and os.geteuid() == 0, "a small disk is mounted as root only")
class FullDisk(CliTest):
    def setUp(self):
        self.disk = Path(tempfile.mkdtemp(prefix="disk-", dir=self.folder))
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", self.disk], check=False,
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"cannot mount a tmpfs here: {mounted.stderr.strip()}")
        self.addCleanup(shutil.rmtree, self.folder / "whole-s")
        self.addCleanup(shutil.rmtree, self.folder / "whole")
        self.addCleanup(subprocess.run, ["umount", self.disk], check=True)

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.disk], check=True)

    def check(self, places, sizes, needs_all):
        model = make_model(self.folder / "model")
        tokens = write_json(self.folder / "tokens.json", token_lists(30, 64))
        flags = ("--calibration", tokens, "--sparsity-percent", 0.45)
        whole, whole_saved = self.folder / "whole", self.folder / "whole-s"
        self.quantize(model, whole, *flags, "--save-sensitivity", whole_saved)
        failures = 0
        for size in sizes:
            self.resize(size)
            more = ("--work-dir", places["work"], "--save-sensitivity", places["saved"], "--resume", *needs_all)
            done = subprocess.run(command("sq-quantize", model, "--output", places["out"], *flags, *more),
                                  check=False, capture_output=True, text=True, env=environment())
            if done.returncode == 0:
                break
            failures += 1
            self.assertEqual(done.returncode, 1, done.stderr)
            errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
            self.assertEqual(len(errors), 1, done.stderr)
            self.assertIn("No space left on device", errors[0])
            for place in ("out", "saved"):
                self.assertEqual(list(places[place].parent.glob(f"{places[place].name}*")), [])
        self.assertGreater(failures, 1)
        self.assertEqual(digests(places["out"]), digests(whole))
        self.assertEqual(digests(places["saved"]), digests(whole_saved))
        self.assertFalse(places["work"].exists())

    def test_all_on_one_disk(self):
        disk = self.disk
        self.check({"out": disk / "out", "work": disk / "work", "saved": disk / "saved"},
                   ("4k", "16k", "100k", "200k", "300k", "400k", "600k", "8m"), ())

    def test_output_on_a_disk_of_its_own(self):
        self.check({"out": self.disk / "out", "work": self.folder / "work", "saved": self.disk / "saved"},
                   ("16k", "150k", "250k", "350k", "8m"), ())

    def test_other_outputs(self):
        model, quantized = make_model(self.folder / "model"), self.folder / "whole"
        file = self.folder / "whole-s"  # removed with the others
        self.quantize(model, quantized, "--uniform-sensitivity")
        file.mkdir()
        self.run_tool("sq-pack", "export", quantized, "--output", file / "whole.pt")
        tokens = write_json(self.folder / "tokens.json", token_lists(4, 64))
        for tool, *arguments in (
                ("sq-pack", "export", quantized, "--output", self.disk / "a.pt"),
                ("sq-pack", "import", file / "whole.pt", "--config", model, "--output", self.disk / "b"),
                ("sq-pack", "dequantize", quantized, "--output", self.disk / "c"),
                ("sq-eval", model, "--tokens", tokens, "--logits", self.disk / "d.safetensors")):
            with self.subTest(tool, arguments=arguments[0]):
                self.fails(tool, *arguments, names=(self.disk, "No space left on device"))
                self.assertEqual(list(self.disk.iterdir()), [])

    def test_spilled_activations(self):
        self.check({"out": self.folder / "out", "work": self.disk / "work", "saved": self.folder / "saved"},
                   ("16k", "1m", "16m"), ("--max-memory", "1M"))


if __name__ == "__main__":
    unittest.main()
