"""What the tests of the tools share: running them, making tiny models, reading and damaging safetensors."""

import collections
import hashlib
import io
import json
import math
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import types
import unittest
import zipfile
from pathlib import Path

BIN = Path(os.environ["SQ_BIN"]).resolve()
# The same tools with a CUDA device that is the host.
SHIM_BIN = Path(os.environ["SQ_SHIM_BIN"]).resolve()
SOURCE = Path(os.environ["SQ_SOURCE"]).resolve()
SCRATCH = Path(os.environ["SQ_SCRATCH"]).resolve()

TIMEOUT_SECONDS = 300

# English enough for the tiny tokenizer's merges to occur.
SENTENCE = "The rain in the north and the wind on an open sea are one thing, of another kind. "


def environment(**more):
    """Without the machine's own data sets, settings and GPUs; with `more`, None for what is not to be set."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SQ_") and k != "OMP_NUM_THREADS"}
    return {k: v for k, v in {**kept, "CUDA_VISIBLE_DEVICES": "", **more}.items() if v is not None}


def command(tool, *arguments, folder=BIN):
    return [str(folder / tool), *map(str, arguments)]


class CliTest(unittest.TestCase):
    """Each class works in a folder of its own, removed at the end."""

    tools = BIN
    settings = {}  # of the environment

    @classmethod
    def setUpClass(cls):
        SCRATCH.mkdir(parents=True, exist_ok=True)
        cls.folder = Path(tempfile.mkdtemp(prefix=f"{cls.__name__}-", dir=SCRATCH))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)

    def run_tool(self, tool, *arguments, code=0, folder=None, **more):
        """Runs a tool to its end and checks the exit code; stdout and stderr come as text."""
        done = subprocess.run(command(tool, *arguments, folder=folder or self.tools), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=environment(**self.settings, **more),
                              timeout=TIMEOUT_SECONDS, check=False, text=True, errors="backslashreplace")
        self.assertEqual(done.returncode, code,
                         f"{tool} {' '.join(map(str, arguments))}\n{done.stdout}{done.stderr}")
        return done

    def start(self, tool, *arguments):
        return subprocess.Popen(command(tool, *arguments, folder=self.tools), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=environment(**self.settings), text=True)

    def wait_for(self, path, process):
        """Until a started tool has made `path`."""
        while not path.exists():
            self.assertIsNone(process.poll(), "the run ended before it could be stopped")
            time.sleep(0.002)

    def quantize(self, model, output, *arguments, code=0, **more):
        return self.run_tool("sq-quantize", model, "--output", output, *arguments, code=code, **more)

    def fails(self, tool, *arguments, names=(), **more):
        """Checks for the one line of a failure, and that it names what it should."""
        done = self.run_tool(tool, *arguments, code=1, **more)
        lines = [line for line in done.stderr.splitlines() if not is_log(line)]
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("error: "), lines[0])
        for name in names:
            self.assertIn(str(name), lines[0])
        return lines[0]


def is_log(line):
    """Log lines begin with their level and the time of day: "I 12:00:00 text"."""
    return line[:2] in ("I ", "W ", "D ") and line[4:5] == ":" and line[7:8] == ":"


def make_model(folder, *arguments):
    """With a vocabulary as large as the tokenizer's, so that whatever is generated is text."""
    subprocess.run([sys.executable, SOURCE / "scripts/make_tiny_checkpoint.py", folder, "--vocab", "270",
                    *map(str, arguments)], check=True)
    return Path(folder)


ANSWERS = dict(zip(("Ġ o", "Ġo f", "Ġ a", "in g"), ("Ġ A", "Ġ B", "Ġ C", "Ġ D")))


def make_answering_model(folder, *arguments):
    """With a tokenizer that MMLU can be asked by: as many of its merges give way to the answers' tokens."""
    model = make_model(folder, *arguments)
    path = model / "tokenizer.json"
    tokenizer = read_json(path)
    bpe = tokenizer["model"]
    bpe["merges"] = [ANSWERS.get(merge, merge) for merge in bpe["merges"]]
    for old, new in ANSWERS.items():
        bpe["vocab"][new.replace(" ", "")] = bpe["vocab"].pop(old.replace(" ", ""))
    write_json(path, tokenizer)
    return model


def write_json(path, value):
    Path(path).write_text(json.dumps(value), encoding="utf-8")
    return Path(path)


def read_json(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def token_lists(count=3, length=32, vocabulary=256, step=7):
    return [[(list_ * 31 + i * step) % vocabulary for i in range(length)] for list_ in range(count)]


def read_safetensors(path):
    """{name: (dtype, shape, bytes)}"""
    data = Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            tensors[name] = (entry["dtype"], entry["shape"], data[begin:end])
    return tensors


def write_safetensors(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, bytearray()
    for name, (dtype, shape, values) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


STORAGES = {"F16": "HalfStorage", "BF16": "BFloat16Storage", "F32": "FloatStorage", "I32": "IntStorage"}


class _Storage:
    def __init__(self, kind, key, elements):
        self.id = ("storage", kind, key, "cpu", elements)


class _Rebuilt:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return obj.id if isinstance(obj, _Storage) else None


def _pickle(value):
    file = io.BytesIO()
    _Pickler(file, 2).dump(value)
    return file.getvalue()


def pickle_state(tensors, integers, legacy):
    """The pickle of a state dict as torch.save writes it, an OrderedDict with attributes, without torch: modules of its
    names stand in while it is made. Storages are numbered in the order of the tensors {name: (dtype, shape, ...)}."""
    def stand_in(module, name):
        # A class, which is pickled by its name alone.
        sys.modules.setdefault(module, types.ModuleType(module))
        made = type(name, (), {"__module__": module})
        setattr(sys.modules[module], name, made)
        return made

    class StateDict(collections.OrderedDict):
        pass
    StateDict.__module__, StateDict.__qualname__, StateDict.__name__ = "collections", "OrderedDict", "OrderedDict"
    modules, ordered = dict(sys.modules), collections.OrderedDict
    collections.OrderedDict = StateDict  # the pickler looks the name up
    try:
        rebuild = stand_in("torch._utils", "_rebuild_tensor_v2")
        kinds = {dtype: stand_in("torch", name) for dtype, name in STORAGES.items()}
        state = StateDict()
        for key, (name, (dtype, shape, *_)) in enumerate(tensors.items()):
            strides = tuple(math.prod(shape[i + 1:]) for i in range(len(shape)))
            storage = _Storage(kinds[dtype], str(key), math.prod(shape))
            if legacy:
                storage.id += (None,)
            state[name] = _Rebuilt(rebuild, storage, 0, tuple(shape), strides, False, StateDict())
        state.update(integers)
        state._metadata = StateDict({"": {"version": 1}})
        return _pickle(state)
    finally:
        collections.OrderedDict = ordered
        for name in set(sys.modules) - set(modules):
            del sys.modules[name]


def write_torch_file(path, tensors, integers, legacy=False):
    """A state dict {name: (dtype, shape, bytes)} and numbers. `legacy`: the stream of before torch 1.6."""
    pickled = pickle_state(tensors, integers, legacy)
    if legacy:
        sizes = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        head = [_pickle(0x1950A86A20F9469CFC6C), _pickle(1001), _pickle(sizes), pickled,
                _pickle([str(key) for key in range(len(tensors))])]
        Path(path).write_bytes(b"".join(head) + b"".join(struct.pack("<q", math.prod(shape)) + data
                                                         for _, shape, data in tensors.values()))
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, (_, _, data) in enumerate(tensors.values()):
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")


def python_with_torch():
    for candidate in (os.environ.get("SQ_TORCH_PYTHON"), sys.executable, "python3", "/usr/bin/python3"):
        if candidate and shutil.which(candidate):
            found = subprocess.run([candidate, "-c", "import torch"], check=False, capture_output=True)
            if found.returncode == 0:
                return candidate
    return None


def digests(folder, without=("report.json",)):
    """{file name: checksum} of a whole folder."""
    folder = Path(folder)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in without}
