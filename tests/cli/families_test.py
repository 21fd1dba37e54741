"""Every model family through all tools: the tiny models of tests/golden/models, and one layer of each
published configuration at its full shape where SQ_DATA_DIR has them."""

import json
import math
import os
import random
import struct
import unittest

from cli_support import SOURCE, CliTest, read_json, read_safetensors, token_lists, write_json

MODELS = ["llama-gqa-tied-fp32", "llama3-rope-bf16", "mistral-window-bf16", "qwen2-tied-bf16", "qwen3-bf16",
          "opt-fp16", "qwen2-yarn-bf16", "ministral-gelu-bf16", "phi3-fused-bf16"]


def norms_and_linears(config):
    """{tensor: shape} of one layer and the final norm, by the published checkpoints."""
    hidden, bias = config["hidden_size"], config["model_type"] == "opt"
    if bias:
        inner, layer, final = config["ffn_dim"], "model.decoder.layers.0.", "model.decoder.final_layer_norm"
        linears = {**{f"self_attn.{p}_proj": (hidden, hidden) for p in ("q", "k", "v", "out")},
                   "fc1": (inner, hidden), "fc2": (hidden, inner)}
        norms = ("self_attn_layer_norm", "final_layer_norm")
    else:
        inner, layer, final = config["intermediate_size"], "model.layers.0.", "model.norm"
        linears = {**{f"self_attn.{p}_proj": (hidden, hidden) for p in "qkvo"},
                   "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
                   "mlp.down_proj": (hidden, inner)}
        norms = ("input_layernorm", "post_attention_layernorm")
    shapes = {f"{layer}{name}.weight": shape for name, shape in linears.items()}
    if bias:
        shapes.update({f"{layer}{name}.bias": shape[:1] for name, shape in linears.items()})
    for norm in [layer + name for name in norms] + [final]:
        shapes[norm + ".weight"] = (hidden,)
        if bias:
            shapes[norm + ".bias"] = (hidden,)
    return shapes


def write_one_layer(config, path):
    """fp16: random linear layers and norms; embeddings and head are a hole in the file, so zeros."""
    hidden, vocabulary = config["hidden_size"], config["vocab_size"]
    shapes = norms_and_linears(config)
    if config["model_type"] == "opt":
        empty = {"model.decoder.embed_tokens.weight": (vocabulary, hidden),
                 "model.decoder.embed_positions.weight": (config["max_position_embeddings"] + 2, hidden)}
    else:
        empty = {"model.embed_tokens.weight": (vocabulary, hidden), "lm_head.weight": (vocabulary, hidden)}
    header, offset = {}, 0
    for name, shape in {**shapes, **empty}.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = random.Random(1)
    values = struct.pack("<65536e", *(rng.gauss(0, 0.02) for _ in range(65536)))
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for shape in shapes.values():
            size = 2 * math.prod(shape)
            for begin in range(0, size, len(values)):
                file.write(values[:min(len(values), size - begin)])
        file.truncate(8 + len(text) + offset)


class Families(CliTest):
    def quantized_and_back(self, model, *quantize):
        """The quantized folder, which .pt and back leaves as it is."""
        quantized, torch_file = self.folder / "quantized", self.folder / "file.pt"
        self.quantize(model, quantized, "--sparsity-percent", 0.45, *quantize)
        self.run_tool("sq-pack", "verify", quantized)
        self.run_tool("sq-pack", "export", quantized, "--output", torch_file)
        imported = self.folder / "imported"
        self.run_tool("sq-pack", "import", torch_file, "--config", model, "--output", imported)
        self.assertEqual(read_safetensors(imported / "model.safetensors"),
                         read_safetensors(quantized / "model.safetensors"))
        return quantized

    def perplexity(self, folder, tokens):
        report = self.folder / "report.json"
        self.run_tool("sq-eval", folder, "--tokens", tokens, "--json", report)
        return read_json(report)["results"][0]["perplexity"]

    def decodes_as_it_evaluates(self, folder, tokens):
        """--benchmark, token by token: the perplexity of the first list is that of all its tokens at once."""
        report, first = self.folder / "report.json", self.folder / "first.json"
        write_json(first, read_json(tokens)[:1])
        self.run_tool("sq-eval", folder, "--tokens", first, "--benchmark", 40, "--check", "--dtype", "float32", "--json",
                      report)
        report = read_json(report)
        self.assertAlmostEqual(report["benchmark"]["perplexity"] / report["results"][0]["perplexity"], 1, places=4)

    def clear(self):
        for path in sorted(self.folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    def test_every_tool_takes_every_family(self):
        for name in MODELS:
            with self.subTest(name):
                model = SOURCE / "tests/golden/models" / name
                tokens = write_json(self.folder / "tokens.json", token_lists(3, 40, vocabulary=120))
                quantized, dense = self.quantized_and_back(model, "--calibration", tokens), self.folder / "dense"
                self.run_tool("sq-pack", "dequantize", quantized, "--output", dense)
                before, after = self.perplexity(model, tokens), self.perplexity(quantized, tokens)
                # Rounded to fp16, the weights of the two differ by 2^-11 of themselves.
                self.assertLess(abs(self.perplexity(dense, tokens) / after - 1), 0.01)
                self.assertLess(abs(math.log(after / before)), 0.5)
                self.decodes_as_it_evaluates(model, tokens)
                self.decodes_as_it_evaluates(quantized, tokens)
                self.clear()

    def test_a_layer_of_each_published_shape(self):
        data = os.environ.get("SQ_DATA_DIR")
        if not data:
            self.skipTest("SQ_DATA_DIR is not set")
        published = sorted(os.listdir(os.path.join(data, "models")))
        if not published:
            self.skipTest(f"{data}/models is empty")
        for name in published:
            with self.subTest(name):
                model = self.folder / "model"
                model.mkdir()
                config = {**read_json(os.path.join(data, "models", name, "config.json")), "num_hidden_layers": 1}
                write_json(model / "config.json", config)
                write_one_layer(config, model / "model.safetensors")
                tokens = write_json(self.folder / "tokens.json", token_lists(1, 16))
                quantized = self.quantized_and_back(model, "--uniform-sensitivity", "--bits", 3)
                # A head of zeros gives each token the same chance.
                self.assertAlmostEqual(self.perplexity(quantized, tokens) / config["vocab_size"], 1, places=4)
                self.clear()


if __name__ == "__main__":
    unittest.main()
