"""Fields of config.json that are not known: refused by name by every tool, and passed over when told."""

import json
import math
import shutil
import unittest

from cli_support import SOURCE, CliTest, read_json, read_safetensors, token_lists, write_json

MODEL = SOURCE / "tests/golden/models/llama-gqa-tied-fp32"


class Config(CliTest):
    def edited(self, name, **fields):
        """A copy of the model with fields of config.json set."""
        folder = self.folder / name
        shutil.copytree(MODEL, folder)
        write_json(folder / "config.json", {**read_json(folder / "config.json"), **fields})
        return folder

    def logits(self, folder, *arguments):
        tokens = write_json(self.folder / "tokens.json", token_lists(2, 20, vocabulary=120))
        out = self.folder / "logits.safetensors"
        self.run_tool("sq-eval", folder, "--tokens", tokens, "--logits", out, *arguments)
        return read_safetensors(out)

    def test_unknown_fields_are_named_and_passed_over_when_told(self):
        model = self.edited("unknown", rope_interleave=True, logit_scale=0.5)
        names = ("config.json", "logit_scale")
        told = ("--ignore-config-field", "logit_scale", "--ignore-config-field", "rope_interleave")
        tokens = write_json(self.folder / "t.json", token_lists(4, 32, vocabulary=120))
        self.fails("sq-eval", model, "--tokens", tokens, names=names)
        self.fails("sq-eval", model, "--tokens", tokens, *told[:2], names=("rope_interleave", "--ignore-config-field"))
        self.assertEqual(self.logits(model, *told), self.logits(MODEL))
        quantized, plain = self.folder / "quantized", self.folder / "plain"
        quantize = ("--calibration", tokens, "--samples", 4, "--sequence-length", 32)
        self.fails("sq-quantize", model, "--output", quantized, *quantize, names=names)
        self.run_tool("sq-quantize", model, "--output", quantized, *quantize, *told)
        self.run_tool("sq-quantize", MODEL, "--output", plain, *quantize)
        self.assertEqual(read_safetensors(quantized / "model.safetensors"),
                         read_safetensors(plain / "model.safetensors"))
        report = read_json(quantized / "report.json")
        self.assertEqual(report["options"]["ignore_config_fields"], ["logit_scale", "rope_interleave"])
        # The fields stay for who knows them, so every tool has to be told.
        self.assertEqual(read_json(quantized / "config.json")["logit_scale"], 0.5)
        for command, *more in (("verify",), ("export", "--output", self.folder / "x.pt"),
                               ("dequantize", "--output", self.folder / "dense")):
            self.fails("sq-pack", command, quantized, *more, names=names)
            self.run_tool("sq-pack", command, quantized, *more, *told)

    def test_numbers_that_are_not_finite_are_kept_where_nobody_reads_them(self):
        model = self.edited("infinite", initializer_range=math.inf)
        self.assertIn("Infinity", (model / "config.json").read_text())
        self.assertEqual(self.logits(model), self.logits(MODEL))
        quantized = self.folder / "kept"
        self.run_tool("sq-quantize", model, "--output", quantized, "--uniform-sensitivity")
        self.assertEqual(json.loads((quantized / "config.json").read_text())["initializer_range"], math.inf)
        self.run_tool("sq-pack", "verify", quantized)
        read = self.edited("read", rms_norm_eps=math.nan)
        self.fails("sq-pack", "import", self.folder / "none.pt", "--config", read, "--output", self.folder / "o",
                   names=("rms_norm_eps", "NaN"))


if __name__ == "__main__":
    unittest.main()
