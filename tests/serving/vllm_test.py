"""vLLM serves quantized folders with the same greedy tokens as sq-eval, in float32."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import support
from safetensors.torch import load_file, save_file


def serve(folder, *flags):
    """The tokens by vLLM, or the log of a run that failed."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "tokens.json"
        run = subprocess.run([sys.executable, Path(__file__).with_name("vllm_greedy.py"), folder, output, *flags],
                             check=False, capture_output=True, text=True)
        if run.returncode != 0:
            return run.stdout + run.stderr
        return json.loads(output.read_text())


class Served(unittest.TestCase):
    def compare(self, name, made, expected):
        self.assertIsInstance(made, list, made if isinstance(made, str) else None)
        pairs = [pair for lists in zip(made, expected, strict=True) for pair in zip(*lists, strict=True)]
        print(f"{name}: {sum(a == b for a, b in pairs)} of {len(pairs)} greedy tokens equal to sq-eval's", flush=True)
        self.assertEqual(made, expected)

    def test_same_tokens_as_sq_eval(self):
        for name in support.QUANTIZED:
            with self.subTest(name):
                folder = support.folder(name)
                self.compare(name, serve(folder), support.greedy_by_sq_eval(folder))

    def test_same_tokens_on_three_ranks(self):
        name = "3-bit, 0.45 %"  # SmolLM2 has 9 heads and 3 of keys and values
        folder = support.folder(name)
        self.compare(f"{name}, tensor parallel 3", serve(folder, "--tensor-parallel", "3"),
                     support.greedy_by_sq_eval(folder))

    def test_same_tokens_from_an_exported_folder_without_our_config(self):
        name = "4-bit"
        with tempfile.TemporaryDirectory() as scratch:
            exported = Path(scratch) / "exported"
            subprocess.run([Path(os.environ["SQ_BIN"]) / "sq-pack", "export", support.folder(name), "--format", "vllm",
                            "--output", exported], check=True, capture_output=True)
            config = json.loads((exported / "config.json").read_text())
            del config["quantization_config"]  # as the original's folders, which have quant_config.json alone
            (exported / "config.json").write_text(json.dumps(config))
            self.compare(f"{name}, by quant_config.json", serve(exported, "--quantization", "squeezellm"),
                         support.greedy_by_sq_eval(support.folder(name)))

    def test_says_which_tensor_is_missing(self):
        folder = support.folder("4-bit")
        with tempfile.TemporaryDirectory() as scratch:
            for file in folder.iterdir():
                if file.suffix == ".json":
                    shutil.copy(file, scratch)
            tensors = load_file(folder / "model.safetensors")
            del tensors["model.layers.2.self_attn.v_proj.lookup_table"]
            save_file(tensors, Path(scratch) / "model.safetensors", metadata={"format": "pt"})
            log = serve(scratch)
        self.assertIsInstance(log, str, "served")
        self.assertIn("model.layers.2.self_attn.qkv_proj.lookup_table: missing in the checkpoint: found parts [0, 1] of "
                      "[0, 1, 2]", log)


if __name__ == "__main__":
    unittest.main()
