#!/usr/bin/env python3
"""Recreates tests/golden/rope.json: rotary frequencies as transformers computes them.

A list of cases: fields of a config.json, and for some lengths of a sequence the frequencies (radians per position)
and the factor on cos and sin that transformers' rotary embedding has after a forward pass over it.
"""

import argparse
import json
import os
import sys
import tempfile

try:
    import torch
    import transformers
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
except ImportError as error:
    sys.exit(f"make_golden_rope: {error}; install torch and transformers")

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
SHORT, LONG = [1.0 + 0.1 * i for i in range(8)], [1.5 + i * i for i in range(8)]
LONGROPE = {"rope_type": "longrope", "short_factor": SHORT, "long_factor": LONG}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
# Fields beside those of BASE.
CASES = [
    {},
    {"rope_theta": 500000.0},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 1000000}},
    {"rope_parameters": {"rope_theta": 20000.0}, "rope_theta": 300.0},
    {"rope_scaling": {"rope_type": "default", "rope_theta": 500000.0}},
    {"rope_scaling": {}, "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 500.0}},
    {"rope_scaling": {"type": "linear", "factor": 2.5}, "rope_theta": 50000.0},
    {"rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 2.0, "rope_theta": 70000.0}},
    {"rope_scaling": {"rope_type": "linear", "factor": 3.0},
     "rope_parameters": {"rope_type": "linear", "factor": 7.0, "rope_theta": 10000.0}},
    {"rope_scaling": {**LLAMA3, "original_max_position_embeddings": 64}, "rope_theta": 500000.0},
    {"rope_scaling": {**LLAMA3, "original_max_position_embeddings": 64}, "original_max_position_embeddings": 100},
    {"rope_parameters": {**LLAMA3, "rope_theta": 10000.0}},
    {"rope_scaling": YARN, "rope_theta": 1000000.0},
    {"rope_scaling": YARN, "original_max_position_embeddings": 32},
    {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "original_max_position_embeddings": 32},
    {"rope_scaling": {"type": "yarn", "factor": 4.0}},
    {"rope_scaling": {**YARN, "factor": None}},
    {"rope_scaling": {**YARN, "factor": 0.5}},
    {"rope_scaling": {**YARN, "attention_factor": 1.5, "beta_fast": 16.0, "beta_slow": 2.0, "truncate": False}},
    {"rope_scaling": {**YARN, "truncate": None, "beta_fast": 0, "beta_slow": None, "attention_factor": None}},
    {"rope_scaling": {**YARN, "mscale": 1.0, "mscale_all_dim": 0.8}},
    {"rope_scaling": {**YARN, "mscale": 1.0, "mscale_all_dim": 0}},
    {"rope_scaling": {**YARN, "mscale": 0.7}},
    {"rope_scaling": {**YARN, "beta_fast": 2.0, "beta_slow": 2.0}, "head_dim": 64},
    {"rope_scaling": {**YARN, "finetuned": True, "type": "yarn"}, "head_dim": 128},
    {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
    {"rope_scaling": {"rope_type": "dynamic", "factor": 3.7}, "rope_theta": 5000000.0, "head_dim": 64},
    {"rope_parameters": {"rope_type": "dynamic", "factor": 1.0, "rope_theta": 10000.0}},
    {"rope_scaling": {**LONGROPE, "original_max_position_embeddings": 64}},
    {"rope_scaling": LONGROPE, "original_max_position_embeddings": 100, "rope_theta": 30000.0},
    {"rope_scaling": {**LONGROPE, "factor": 32.0, "original_max_position_embeddings": 64}},
    {"rope_scaling": {**LONGROPE, "attention_factor": 1.25, "factor": 2, "original_max_position_embeddings": 64}},
    {"rope_parameters": {**LONGROPE, "rope_theta": 10000.0}},
]
BASE = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 4,
        "num_hidden_layers": 1, "vocab_size": 64, "max_position_embeddings": 256}
LENGTHS = (1, 64, 65, 256, 257, 1000)


def frequencies(fields, length):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump({**BASE, **fields}, file)
        rotary = LlamaRotaryEmbedding(transformers.AutoConfig.from_pretrained(folder))
    rotary(torch.zeros(1), torch.arange(length)[None])
    return {"length": length, "frequencies": rotary.inv_freq.tolist(), "attention": rotary.attention_scaling}


def main():
    default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/golden/rope.json")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", metavar="FILE", default=os.path.normpath(default),
                        help="(default: tests/golden/rope.json)")
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    lines = []
    for fields in CASES:
        found = []
        for length in LENGTHS:
            new = frequencies(fields, length)
            if not found or new["frequencies"] != found[-1]["frequencies"]:
                found.append(new)
        lines.append(json.dumps({"config": {**BASE, **fields}, "lengths": found}))
    with open(arguments.output, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(lines) + "\n]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
