#!/usr/bin/env python3
"""Fills in tests/golden/configs/configs.jsonl: what transformers takes each configuration for.

    pip install torch==2.11.0 transformers==5.24.0
    scripts/golden/make_golden_configs.py

A line has a configuration as it was published, its name and its source. Those that are not computed here have the field
at fault as "refused"; the others get "transformers". To add one, append a line with "name", "source" and "config".
"""

import json
import pathlib
import tempfile

from transformers import AutoConfig
from transformers.activations import ACT2FN

FILE = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "configs" / "configs.jsonl"
ACTIVATIONS = {"SiLUActivation": "silu", "SiLU": "silu", "ReLU": "relu", "GELUActivation": "gelu",
               "NewGELUActivation": "gelu_tanh", "FastGELUActivation": "gelu_tanh", "GELUTanh": "gelu_tanh"}


def load(config):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
        return AutoConfig.from_pretrained(folder)


def window(config, layer):
    """What modeling_*.py of the family gives a layer's attention as sliding_window; 0: none."""
    size = getattr(config, "sliding_window", None) if config.model_type != "llama" else None
    types = getattr(config, "layer_types", None)
    return size or 0 if types is None or types[layer] == "sliding_attention" else 0


def summary(config):
    opt = config.model_type == "opt"
    eos = config.eos_token_id
    heads = config.num_attention_heads
    return {
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "intermediate": config.ffn_dim if opt else config.intermediate_size,
        "heads": heads,
        "kv_heads": heads if opt else config.num_key_value_heads,
        "head_dim": getattr(config, "head_dim", None) or config.hidden_size // heads,
        "vocabulary": config.vocab_size,
        "positions": config.max_position_embeddings,
        "activation": ACTIVATIONS[type(ACT2FN[config.activation_function if opt else config.hidden_act]).__name__],
        "tied": config.tie_word_embeddings,
        "bos": -1 if config.bos_token_id is None else config.bos_token_id,
        "eos": [] if eos is None else eos if isinstance(eos, list) else [eos],
        "first_window": window(config, 0),
        "last_window": window(config, config.num_hidden_layers - 1),
    }


def main():
    lines = [json.loads(line) for line in FILE.read_text().splitlines()]
    for line in lines:
        if "refused" not in line:
            line["transformers"] = summary(load(line["config"]))
    FILE.write_text("".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines))


if __name__ == "__main__":
    main()
