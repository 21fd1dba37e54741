"""PyTorch's files: weights of a model folder, files that torch wrote in its several ways, hostile ones, and the memory
that looking into a large one takes."""

import json
import math
import os
import pickle
import shutil
import struct
import subprocess
import textwrap
import unittest
import zipfile

from cli_support import (CliTest, command, environment, make_model, pickle_state, python_with_torch,
                         read_safetensors, token_lists, write_json, write_torch_file)

SIZES = {"F16": 2, "BF16": 2, "F32": 4, "I32": 4}

# Run by a Python that has torch: argv[1] is a model.safetensors, argv[2] a folder for files, each with the same tensors.
SAVE = textwrap.dedent("""
    import collections, json, struct, sys, torch
    from pathlib import Path
    data, out = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
    size = struct.unpack("<Q", data[:8])[0]
    kinds = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}
    state = collections.OrderedDict()
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + at for at in entry["data_offsets"])
        state[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=kinds[entry["dtype"]]).view(entry["shape"])

    def save(name, values, **options):
        torch.save(values, out / (name + ".bin"), **options)

    save("plain", dict(state))
    for protocol in (2, 3, 4, 5):
        save(f"protocol-{protocol}", state, pickle_protocol=protocol)
        save(f"stream-{protocol}", state, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    module = torch.nn.Module()
    for name, value in state.items():
        module.register_parameter(name.replace(".", "/"), torch.nn.Parameter(value, requires_grad=False))
    saved = module.state_dict()  # with _metadata
    for name in list(saved):
        saved[name.replace("/", ".")] = saved.pop(name)
    save("metadata", saved)
    save("parameters", {name: torch.nn.Parameter(value) for name, value in state.items()})
    save("transposed", {name: value.t().contiguous().t() if value.dim() == 2 else value for name, value in state.items()})
    save("transposed-stream", {name: value.t().contiguous().t() if value.dim() == 2 else value
                               for name, value in state.items()}, _use_new_zipfile_serialization=False)
    def padded(value):  # a part of a larger tensor: gaps between the rows
        whole = torch.zeros([n + 3 for n in value.shape], dtype=value.dtype)
        part = whole[tuple(slice(2, n + 2) for n in value.shape)]
        part.copy_(value)
        return part
    save("parts", {name: padded(value) for name, value in state.items()})
    one = torch.cat([value.flatten() for value in state.values()])  # all in one storage
    views, at = {}, 0
    for name, value in state.items():
        views[name] = one[at:at + value.numel()].view(value.shape)
        at += value.numel()
    save("one-storage", views)
    save("one-storage-stream", views, _use_new_zipfile_serialization=False)
    print(torch.__version__)
""")


def llama_7b(packed):
    """{name: (dtype, shape)} of LLaMA-7B, in fp16 or with 3-bit layers of 0.45 % outliers."""
    hidden, inner, vocabulary = 4096, 11008, 32000
    tensors = {"model.embed_tokens.weight": ("F16", [vocabulary, hidden]), "model.norm.weight": ("F16", [hidden]),
               "lm_head.weight": ("F16", [vocabulary, hidden])}
    for layer in range(32):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = ("F16", [hidden])
        linears = {f"self_attn.{p}_proj": (hidden, hidden) for p in "qkvo"}
        linears |= {"mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner)}
        for name, (rows, columns) in linears.items():
            name = prefix + name
            if not packed:
                tensors[f"{name}.weight"] = ("F16", [rows, columns])
                continue
            nonzeros = rows * columns * 45 // 10000
            tensors |= {f"{name}.qweight": ("I32", [columns // 32 * 3, rows]), f"{name}.lookup_table": ("F32", [rows, 8]),
                        f"{name}.rows": ("I32", [rows + 1]), f"{name}.cols": ("I32", [nonzeros]),
                        f"{name}.vals": ("F32", [nonzeros])}
    return tensors


def write_hollow_torch_file(path, tensors):
    """A zip archive as torch.save lays it out, its tensors' bytes holes of the file; 64-bit where it must be."""
    records = [("archive/data.pkl", pickle_state(tensors, {}, legacy=False))]
    records += [(f"archive/data/{key}", SIZES[dtype] * math.prod(shape))
                for key, (dtype, shape) in enumerate(tensors.values())]
    directory = b""
    with open(path, "wb") as file:
        for name, content in records:
            name, hole = name.encode(), isinstance(content, int)
            size, at = content if hole else len(content), file.tell()
            file.write(struct.pack("<IHHHHHIIIHH", 0x04034b50, 45, 0, 0, 0, 0, 0, size, size, len(name), 0) + name)
            if hole:
                file.seek(size, os.SEEK_CUR)
            else:
                file.write(content)
            far = at >= 0xffffffff
            extra = struct.pack("<HHQ", 1, 8, at) if far else b""
            directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014b50, 45, 45, 0, 0, 0, 0, 0, size, size, len(name),
                                     len(extra), 0, 0, 0, 0, 0xffffffff if far else at) + name + extra
        begin = file.tell()
        file.write(directory)
        end = file.tell()
        file.write(struct.pack("<IQHHIIQQQQ", 0x06064b50, 44, 45, 45, 0, 0, len(records), len(records),
                               len(directory), begin))
        file.write(struct.pack("<IIQI", 0x07064b50, 0, end, 1))
        file.write(struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0))
    return path


class TorchFile(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokens = write_json(cls.folder / "tokens.json", token_lists(2, 20))

    def folder_of(self, model, name):
        """A copy of a model's folder without its weights."""
        folder = self.folder / name
        shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
        return folder

    def logits(self, folder, *flags):
        file = self.folder / "logits.safetensors"
        self.run_tool("sq-eval", folder, "--tokens", self.tokens, "--dtype", "float32", "--logits", file, *flags)
        return file.read_bytes()

    def test_a_folder_of_pytorchs_files_is_a_model(self):
        model = make_model(self.folder / "model")
        tensors, expected = read_safetensors(model / "model.safetensors"), self.logits(model)
        for legacy in (False, True):
            single = self.folder_of(model, f"single-{legacy}")
            write_torch_file(single / "pytorch_model.bin", tensors, {}, legacy)
            self.assertEqual(self.logits(single), expected)
        sharded = self.folder_of(model, "sharded")
        names, weight_map = list(tensors), {}
        for part in range(3):
            file = f"pytorch_model-{part + 1:05}-of-00003.bin"
            write_torch_file(sharded / file, {name: tensors[name] for name in names[part::3]}, {})
            weight_map.update({name: file for name in names[part::3]})
        write_json(sharded / "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": weight_map})
        self.assertEqual(self.logits(sharded), expected)
        # Quantized it is the same too.
        for folder in (model, sharded):
            self.quantize(folder, self.folder / f"{folder.name}-w4", "--uniform-sensitivity", "--sparsity-percent", 0.45)
        self.assertEqual((self.folder / "model-w4/model.safetensors").read_bytes(),
                         (self.folder / "sharded-w4/model.safetensors").read_bytes())

    def test_what_torch_saves(self):
        python = python_with_torch()
        if python is None:
            self.skipTest("no python3 with torch (SQ_TORCH_PYTHON names one)")
        # All of the ways for one type, and two for the others.
        for dtype, ways in (("bfloat16", "*"), ("float16", "metadata"), ("float32", "stream-2")):
            model, saved = make_model(self.folder / dtype, "--dtype", dtype), self.folder / f"{dtype}-saved"
            saved.mkdir()
            subprocess.run([python, "-c", SAVE, model / "model.safetensors", saved], check=True, stdout=subprocess.DEVNULL)
            expected, files = self.logits(model), sorted(saved.glob(f"{ways}.bin"))
            self.assertEqual(len(files), 16 if ways == "*" else 1)
            for file in files:
                with self.subTest(dtype, file=file.name):
                    folder = self.folder_of(model, f"{dtype}-{file.stem}")
                    file.rename(folder / "pytorch_model.bin")
                    self.assertEqual(self.logits(folder), expected)

    def test_hostile_files(self):
        trace = self.folder / "trace"

        class Hostile:
            def __reduce__(self):
                return os.system, (f"touch {trace}",)

        def archive(name, content):
            path = self.folder / name
            with zipfile.ZipFile(path, "w") as file:
                file.writestr("archive/data.pkl", content)
            return path

        cases = [(archive(f"hostile-{protocol}.bin", pickle.dumps({"a": Hostile()}, protocol)), "posix.system")
                 for protocol in (2, 3, 4, 5)]
        stream = self.folder / "hostile-stream.pt"
        stream.write_bytes(b"".join(pickle.dumps(value, 2) for value in (
            0x1950a86a20f9469cfc6c, 1001, {"little_endian": True}, {"a": Hostile()}, [])))
        cases.append((stream, "posix.system"))
        cases.append((archive("name.bin", pickle.dumps({"a\x1b[2J\n": 1}, 2)), "printable"))
        for path, problem in cases:
            for arguments in (("sq-pack", "inspect", path), ("sq-pack", "verify", path)):
                line = self.fails(*arguments, names=(path, problem))
                self.assertTrue(line.isprintable(), line)
        folder = self.folder_of(make_model(self.folder / "hostile-model"), "hostile")
        shutil.copy(cases[0][0], folder / "pytorch_model.bin")
        self.fails("sq-eval", folder, "--tokens", self.tokens, names=(folder, "posix.system"))
        self.assertFalse(trace.exists())

    def test_evaluates_a_pt_file_beside_its_models_folder(self):
        model = make_model(self.folder / "loaded")
        tensors = {}
        for bits, sparsity in ((3, 0.45), (4, 0), (2, 0)):
            quantized, file = self.folder / f"loaded-w{bits}", self.folder / f"loaded-w{bits}.pt"
            self.quantize(model, quantized, "--uniform-sensitivity", "--bits", bits, "--sparsity-percent", sparsity)
            self.run_tool("sq-pack", "export", quantized, "--output", file)
            flags = ("--load", file, "--wbits", bits) + (("--include-sparse",) if sparsity else ())
            self.assertEqual(self.logits(model, *flags), self.logits(quantized))
            # The quantized layers alone, as the original's files of the first LLaMA have them.
            tensors = {name: value for name, value in read_safetensors(quantized / "model.safetensors").items()
                       if name.endswith((".qweight", ".lookup_table", ".rows", ".cols", ".vals"))}
            write_torch_file(file, tensors, {})
            self.assertEqual(self.logits(model, *flags), self.logits(quantized))
            self.fails("sq-eval", model, "--tokens", self.tokens, "--load", file, "--wbits", 7 - bits,
                       names=(file, f"found {bits}"))
            if sparsity:
                done = self.run_tool("sq-eval", model, "--tokens", self.tokens, "--load", file)
                self.assertIn("outliers", done.stderr)
            else:
                self.fails("sq-eval", model, "--tokens", self.tokens, "--load", file, "--include-sparse",
                           names=(file, "outliers"))
        tensors.pop("model.layers.0.mlp.up_proj.qweight")
        tensors.pop("model.layers.1.mlp.up_proj.lookup_table")
        write_torch_file(file, tensors, {})
        self.fails("sq-eval", model, "--tokens", self.tokens, "--load", file,
                   names=(file, "0.mlp.up_proj.qweight is missing; ", "1.mlp.up_proj.lookup_table is missing"))
        self.run_tool("sq-eval", model, "--tokens", self.tokens, "--wbits", 16)
        self.fails("sq-eval", model, "--tokens", self.tokens, "--wbits", 3, names=(model, "found 16"))

    def peak_memory(self, *arguments):
        """What a tool prints, and the most memory that it had, in bytes."""
        out = self.folder / "out"
        with open(out, "w", encoding="utf-8") as file, subprocess.Popen(
                command(*arguments), stdout=file, env=environment()) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return out.read_text(encoding="utf-8"), usage.ru_maxrss * 1024

    def test_looking_into_a_large_file_takes_little_memory(self):
        packed, dense = llama_7b(packed=True), llama_7b(packed=False)
        file = write_hollow_torch_file(self.folder / "7b.pt", packed)
        single = write_hollow_torch_file(self.folder / "7b.bin", dense)
        self.assertGreater(single.stat().st_size, 13_000_000_000)
        folder = self.folder / "7b"
        folder.mkdir()
        names, weight_map = list(dense), {}
        for part in range(2):
            name = f"pytorch_model-{part + 1:05}-of-00002.bin"
            write_hollow_torch_file(folder / name, {key: dense[key] for key in names[part::2]})
            weight_map.update({key: name for key in names[part::2]})
        write_json(folder / "pytorch_model.bin.index.json", {"metadata": {}, "weight_map": weight_map})
        _, loaded = self.peak_memory("sq-pack", "--version")
        for path, tensors in ((file, packed), (single, dense), (folder, dense)):
            with self.subTest(path.name):
                text, memory = self.peak_memory("sq-pack", "inspect", path, "--json")
                found = json.loads(text)["tensors"]
                self.assertEqual({name: (entry["dtype"], entry["shape"]) for name, entry in found.items()}, tensors)
                # LibTorch's code takes 120 MB of it, more under the sanitizers.
                self.assertLess(memory, max(200_000_000, loaded + 50_000_000))


if __name__ == "__main__":
    unittest.main()
