"""The forms of a quantized checkpoint: the original's .pt and back, fp16, and what inspect and verify say of them."""

import json
import shutil
import struct
import subprocess
import unittest

from cli_support import (SOURCE, CliTest, make_model, python_with_torch, read_json, read_safetensors, token_lists,
                         write_json, write_safetensors, write_torch_file)

# name: flags of the tiny model, bits, sparsity
VARIANTS = {
    "w4-s0": ((), 4, 0),
    "w3-s45": (("--dtype", "bfloat16"), 3, 0.45),
    "w4-s5-tied": (("--tied", "--dtype", "float32"), 4, 5),
    "w3-s5-biased": (("--attention-bias", "--mlp-bias"), 3, 5),
    "w2-s0": (("--shards", 2), 2, 0),
}
TORCH_NAMES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "I32": "int32"}


class Pack(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokens = write_json(cls.folder / "tokens.json", token_lists(6, 40))

    def make(self, name):
        """The model and its quantized folder, made once."""
        flags, bits, sparsity = VARIANTS[name]
        model, quantized = self.folder / f"{name}-model", self.folder / name
        if not quantized.exists():
            make_model(model, *flags)
            self.quantize(model, quantized, "--bits", bits, "--sparsity-percent", sparsity, "--calibration",
                          self.tokens)
        return model, quantized

    def export(self, name, *flags):
        _, quantized = self.make(name)
        file = self.folder / f"{name}{''.join(flags)}.pt"
        if not file.exists():
            self.run_tool("sq-pack", "export", quantized, "--output", file, *flags)
        return file

    def inspect(self, path):
        return json.loads(self.run_tool("sq-pack", "inspect", path, "--json").stdout)

    def expected(self, name, balanced=False):
        """What the original's .pt of this model holds: names, types and shapes from its formats alone."""
        _, bits, sparsity = VARIANTS[name]
        model, quantized = self.make(name)
        linears = {entry["name"]: entry for entry in read_json(quantized / "report.json")["layers"]}
        tensors, integers = {}, {}
        for file in model.glob("*.safetensors"):
            for tensor, (dtype, shape, _) in read_safetensors(file).items():
                layer, _, kind = tensor.rpartition(".")
                if layer not in linears:
                    tensors[tensor] = (dtype, shape)
                elif kind == "bias":
                    tensors[tensor] = ("F32", shape)
                else:
                    rows, columns = shape
                    tensors[f"{layer}.qweight"] = ("I32", [columns // 32 * bits, rows])
                    tensors[f"{layer}.lookup_table"] = ("F32", [rows, 2 ** bits])
                    if sparsity == 0:
                        continue
                    nonzeros = linears[layer]["nonzeros"]
                    tensors[f"{layer}.rows"] = ("I32", [rows + 1])
                    tensors[f"{layer}.cols"] = ("I32", [nonzeros])
                    tensors[f"{layer}.vals"] = ("F32", [nonzeros])
                    integers[f"sparse_threshold.{layer}"] = nonzeros
                    if balanced:
                        threads = -(-(-(-nonzeros // 10)) // 128) * 128
                        tensors[f"{layer}.startrows"] = ("I32", [threads])
        tensors.setdefault("lm_head.weight", tensors["model.embed_tokens.weight"])
        return tensors, integers

    def test_exports_are_what_the_original_writes(self):
        for name in VARIANTS:
            for flags in ((), ("--balanced",)):
                if flags and name != "w3-s45":
                    continue
                with self.subTest(name, flags=flags):
                    inspected = self.inspect(self.export(name, *flags))
                    tensors, integers = self.expected(name, bool(flags))
                    found = {key: (value["dtype"], value["shape"]) for key, value in inspected["tensors"].items()}
                    self.assertEqual(found, tensors)
                    self.assertEqual(inspected["integers"], integers)

    def test_import_gives_the_folder_back(self):
        for name in VARIANTS:
            with self.subTest(name):
                model, quantized = self.make(name)
                file, imported = self.export(name), self.folder / f"{name}-imported"
                self.run_tool("sq-pack", "import", file, "--config", model, "--output", imported)
                self.assertEqual(read_safetensors(quantized / "model.safetensors"),
                                 read_safetensors(imported / "model.safetensors"))
                before, after = self.inspect(quantized), self.inspect(imported)
                before.pop("path"), after.pop("path")
                self.assertEqual(before, after)
                self.assertEqual(read_json(imported / "config.json")["quantization_config"]["bits"],
                                 VARIANTS[name][1])
                again = self.folder / f"{name}-again.pt"
                self.run_tool("sq-pack", "export", imported, "--output", again)
                self.assertEqual(file.read_bytes(), again.read_bytes())

    def test_files_that_torch_saved_import(self):
        """State dicts as the original writes them: with every tensor, and of the first LLaMA with the quantized
        layers alone, where the rest comes from the model's folder."""
        for name in ("w3-s45", "w3-s5-biased"):
            model, quantized = self.make(name)
            whole = read_safetensors(quantized / "model.safetensors")
            _, integers = self.expected(name)
            layers = {key: value for key, value in whole.items() if key.endswith(
                (".qweight", ".lookup_table", ".rows", ".cols", ".vals", ".bias"))}
            for kind, tensors, legacy in (("whole", whole, False), ("layers", layers, False), ("old", whole, True)):
                with self.subTest(name, kind=kind):
                    file, imported = self.folder / f"{name}-{kind}.pt", self.folder / f"{name}-{kind}"
                    write_torch_file(file, tensors, integers, legacy)
                    self.assertIn("14 packed layers", self.run_tool("sq-pack", "verify", file).stdout)
                    self.run_tool("sq-pack", "import", file, "--config", model, "--output", imported)
                    self.assertEqual(read_safetensors(imported / "model.safetensors"), whole)
        for place, problem in ((40, "truncated"), (10, "truncated")):
            data = file.read_bytes()
            file.write_bytes(data[:-place])
            self.fails("sq-pack", "import", file, "--config", model, "--output", self.folder / "cut",
                       names=(file, problem))

    def test_unknown_and_miscounted_entries_are_refused(self):
        model, quantized = self.make("w3-s45")
        tensors = read_safetensors(quantized / "model.safetensors")
        _, integers = self.expected("w3-s45")
        file = self.folder / "odd.pt"
        write_torch_file(file, {**tensors, "model.extra": ("F32", [1], bytes(4))}, integers)
        self.fails("sq-pack", "import", file, "--config", model, "--output", self.folder / "odd", "--strict",
                   names=(file, "model.extra", "unknown"))
        count = next(iter(integers))
        write_torch_file(file, tensors, {**integers, count: integers[count] + 1})
        self.fails("sq-pack", "verify", file, names=(file, count, integers[count] + 1))

    def test_a_balanced_file_imports_too(self):
        model, quantized = self.make("w3-s45")
        imported = self.folder / "balanced"
        self.run_tool("sq-pack", "import", self.export("w3-s45", "--balanced"), "--config", model, "--output",
                      imported)
        self.assertEqual(read_safetensors(quantized / "model.safetensors"),
                         read_safetensors(imported / "model.safetensors"))

    def test_export_for_vllm(self):
        for name, said in (("w4-s5-tied", "outliers; the loader of vLLM"), ("w2-s0", "has 2 bits; the loader of vLLM")):
            _, quantized = self.make(name)
            folder = self.folder / f"{name}-vllm"
            self.assertIn(said, self.run_tool("sq-pack", "export", quantized, "--format", "vllm", "--output",
                                              folder).stderr)
            self.assertEqual(read_safetensors(quantized / "model.safetensors"),
                             read_safetensors(folder / "model.safetensors"))
            bits = VARIANTS[name][1]
            self.assertEqual(read_json(folder / "quant_config.json"), {"wbits": bits})
            config = read_json(folder / "config.json")["quantization_config"]
            self.assertEqual((config["bits"], config["wbits"]), (bits, bits))
            self.assertEqual((folder / "tokenizer.json").read_bytes(), (quantized / "tokenizer.json").read_bytes())
        for flags in (("--format", "vllm", "--balanced"), ("--format", "onnx")):
            self.run_tool("sq-pack", "export", quantized, "--output", self.folder / "none", *flags, code=2)
        self.assertFalse((self.folder / "none").exists())

    def test_dequantized_is_plain_fp16_and_as_good(self):
        for name in VARIANTS:
            with self.subTest(name):
                model, quantized = self.make(name)
                plain = self.folder / f"{name}-plain"
                self.run_tool("sq-pack", "dequantize", quantized, "--output", plain)
                shapes = {tensor: shape for file in model.glob("*.safetensors")
                          for tensor, (_, shape, _) in read_safetensors(file).items()}
                tensors = read_safetensors(plain / "model.safetensors")
                self.assertEqual({tensor: (dtype, shape) for tensor, (dtype, shape, _) in tensors.items()},
                                 {tensor: ("F16", shape) for tensor, shape in shapes.items()})
                config = read_json(plain / "config.json")
                self.assertNotIn("quantization_config", config)
                self.assertEqual(config["torch_dtype"], "float16")
                self.assertEqual((plain / "tokenizer.json").read_bytes(), (model / "tokenizer.json").read_bytes())
                perplexities = []
                for folder in (quantized, plain):
                    self.run_tool("sq-eval", folder, "--tokens", self.tokens, "--dtype", "float32", "--json",
                                  self.folder / "eval.json")
                    perplexities.append(read_json(self.folder / "eval.json")["results"][0]["perplexity"])
                self.assertLess(abs(perplexities[1] / perplexities[0] - 1), 0.005)

    def test_inspect_lists_and_sums_up(self):
        _, quantized = self.make("w3-s45")
        report = read_json(quantized / "report.json")
        for path in (quantized, quantized / "model.safetensors", self.export("w3-s45")):
            inspected = self.inspect(path)
            self.assertEqual(inspected["packed"]["layers"], 14)
            self.assertEqual(inspected["packed"]["nonzeros"], report["nonzeros"])
            self.assertAlmostEqual(inspected["packed"]["bits_per_weight"], report["bits_per_weight"], places=9)
            text = self.run_tool("sq-pack", "inspect", path).stdout.splitlines()
            self.assertEqual(len(text), len(inspected["tensors"]) + len(inspected["integers"]) + 1)
        dense, _ = self.make("w2-s0")
        self.assertEqual(self.inspect(dense)["packed"]["layers"], 0)

    def test_verify_passes_what_is_whole(self):
        for name in VARIANTS:
            _, quantized = self.make(name)
            for path in (quantized, self.export(name)):
                self.assertIn("14 packed layers, all good", self.run_tool("sq-pack", "verify", path).stdout)

    def test_verify_finds_damage(self):
        layer = "model.layers.1.mlp.up_proj"
        _, quantized = self.make("w4-s5-tied")
        tensors = read_safetensors(quantized / "model.safetensors")
        damaged = self.folder / "damaged"
        shutil.copytree(quantized, damaged)

        def values(part, code="i"):
            data = tensors[f"{layer}.{part}"][2]
            return list(struct.unpack(f"<{len(data) // 4}{code}", data))

        def check(part, changed, *expected, code="i", shape=None):
            broken = dict(tensors)
            if changed is None:
                del broken[f"{layer}.{part}"]
            else:
                dtype, old_shape, _ = tensors[f"{layer}.{part}"]
                broken[f"{layer}.{part}"] = (dtype, shape or old_shape, struct.pack(f"<{len(changed)}{code}", *changed))
            with self.subTest(part, expected=expected):
                write_safetensors(damaged / "model.safetensors", broken)
                self.fails("sq-pack", "verify", damaged, names=(layer, *expected))

        columns, rows, entries = values("cols"), values("rows"), values("lookup_table", "f")
        check("cols", [columns[0] ^ 1 << 30, *columns[1:]], "column", "outside")
        check("cols", [-1, *columns[1:]], "column", "outside")
        check("cols", columns[1:], "expected shape", shape=[len(columns) - 1])
        check("cols", None, "missing")
        check("rows", [0, rows[-1] + 1, *rows[2:]], "row pointers decrease")
        check("rows", [1, *rows[1:]], "from 0")
        check("rows", [*rows[:-1], rows[-1] + 1], "row pointers end")
        check("lookup_table", [float("nan"), *entries[1:]], "nan", code="f")
        check("lookup_table", entries[:-16], "shape", code="f", shape=[len(entries) // 16 - 1, 16])
        check("qweight", None, "missing")
        check("vals", [float("inf"), *values("vals", "f")[1:]], "inf", code="f")
        # A .pt file by its bytes: the columns lie in it as they do in the folder.
        data, found = self.export("w4-s5-tied").read_bytes(), tensors[f"{layer}.cols"][2]
        self.assertEqual(data.count(found), 1)
        broken = self.folder / "broken.pt"
        broken.write_bytes(data.replace(found, struct.pack("<i", 1 << 20) + found[4:]))
        self.fails("sq-pack", "verify", broken, names=(broken, layer, "column"))
        self.fails("sq-pack", "import", broken, "--config", self.folder / "w4-s5-tied-model", "--output",
                   self.folder / "from-broken", names=(broken, layer))
        self.assertFalse((self.folder / "from-broken").exists())

    def test_what_torch_saves_imports(self):
        python = python_with_torch()
        if python is None:
            self.skipTest("no python3 with torch (SQ_TORCH_PYTHON names one)")
        model, quantized = self.make("w3-s45")
        for kind, flag in (("archive", True), ("stream", False)):
            with self.subTest(kind):
                file, imported = self.folder / f"saved-{kind}.pt", self.folder / f"saved-{kind}"
                script = ("import collections, sys, torch; state = collections.OrderedDict(torch.load(sys.argv[1])); "
                          "state._metadata = collections.OrderedDict(); "
                          f"torch.save(state, sys.argv[2], _use_new_zipfile_serialization={flag})")
                subprocess.run([python, "-c", script, self.export("w3-s45"), file], check=True)
                self.run_tool("sq-pack", "import", file, "--config", model, "--output", imported)
                self.assertEqual(read_safetensors(quantized / "model.safetensors"),
                                 read_safetensors(imported / "model.safetensors"))

    def test_torch_loads_exports(self):
        python = python_with_torch()
        if python is None:
            self.skipTest("no python3 with torch (SQ_TORCH_PYTHON names one)")
        for name in VARIANTS:
            for flags in ((), ("--balanced",)):
                if flags and name != "w3-s45":
                    continue
                with self.subTest(name, flags=flags):
                    tensors, integers = self.expected(name, bool(flags))
                    listed = {key: {"dtype": TORCH_NAMES[dtype], "shape": shape}
                              for key, (dtype, shape) in tensors.items()}
                    listed.update({key: {"dtype": "int"} for key in integers})
                    expected = write_json(self.folder / "expected.json", listed)
                    done = subprocess.run([python, SOURCE / "scripts/torch_load_check.py", self.export(name, *flags),
                                           expected], check=False, capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
