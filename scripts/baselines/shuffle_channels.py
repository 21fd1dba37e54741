#!/usr/bin/env python3
"""Writes a LLaMA-architecture model with its channels in another order: the same function of the same
tokens, with the weights of each row in another sequence.

Why: a model that was dequantized from a file with a scale per 32 neighbours (GGUF's Q4_0, Q4_1, Q4_K ...)
still lies on that file's grids. A method that forms the same groups finds them again and looks better than
it is. The channels of a trained model have no order of their own, so that any other is as good a model
to measure on; methods without groups do not see the difference.

Memory: twice the model. Needs numpy; as a program also safetensors. The model is an fp16 or fp32 HF folder.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

try:
    import numpy as np
except ImportError as error:
    sys.exit(f"shuffle_channels: {error}; install the package numpy")


def shuffled(weights, config, seed):
    """weights: HF name -> array. Reordered: the residual stream, each MLP's inner channels, and the channels
    within each value head. Queries and keys keep theirs, which rotary positions tell apart."""
    random = np.random.default_rng(seed)
    queries, keys = config["num_attention_heads"], config["num_key_value_heads"]
    width = config.get("head_dim") or config["hidden_size"] // queries
    residual = random.permutation(config["hidden_size"])
    result = {}
    for name, weight in weights.items():
        if weight.ndim == 1:
            result[name] = weight[residual]  # the norms
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            result[name] = weight[residual]  # these write to the stream
        else:
            result[name] = weight[:, residual]  # and all others read it, the embedding and the head too
    for layer in range(config["num_hidden_layers"]):
        inner = random.permutation(config["intermediate_size"])
        heads = [head * width + random.permutation(width) for head in range(keys)]
        values = np.concatenate(heads)
        # Query head i attends to the values of head i // (queries / keys).
        outputs = np.concatenate([heads[i * keys // queries] % width + i * width
                                  for i in range(queries)])
        for part, order, axis in (("mlp.gate_proj", inner, 0), ("mlp.up_proj", inner, 0),
                                  ("mlp.down_proj", inner, 1), ("self_attn.v_proj", values, 0),
                                  ("self_attn.o_proj", outputs, 1)):
            name = f"model.layers.{layer}.{part}.weight"
            result[name] = result[name].take(order, axis)
    return result


def read_weights(folder):
    """All tensors of the folder's .safetensors files."""
    from safetensors.numpy import load_file
    files = sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))
    if not files:
        raise ValueError(f"{folder}: no .safetensors file there")
    return {name: weight for file in files
            for name, weight in load_file(os.path.join(folder, file)).items()}


def read_config(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    if config.get("model_type") != "llama" or config.get("attention_bias") or config.get("mlp_bias"):
        raise ValueError(f"{folder}: expected model_type 'llama' without biases, found "
                         f"{config.get('model_type')!r}")
    return config


def write_model(weights, source, output):
    """The weights with the configuration and tokenizer of `source`; under its name only when complete."""
    from safetensors.numpy import save_file
    parent = os.path.dirname(os.path.abspath(output))
    os.makedirs(parent, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix=os.path.basename(os.path.abspath(output)) + ".", dir=parent)
    try:
        os.chmod(scratch, 0o755)  # mkdtemp's 0700 would follow the rename
        for name in os.listdir(source):
            if name.endswith((".json", ".model", ".txt")) and "safetensors" not in name:
                shutil.copy(os.path.join(source, name), scratch)
        save_file({name: np.ascontiguousarray(weight) for name, weight in weights.items()},
                  os.path.join(scratch, "model.safetensors"), metadata={"format": "pt"})
        os.rename(scratch, output)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL_DIR")
    parser.add_argument("output", metavar="OUTPUT_DIR", help="folder to write; must not exist")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        if os.path.exists(arguments.output):
            raise ValueError(f"{arguments.output} exists already")
        config = read_config(arguments.model)
        write_model(shuffled(read_weights(arguments.model), config, arguments.seed),
                    arguments.model, arguments.output)
    except (OSError, ValueError, KeyError, ImportError) as error:
        print(f"shuffle_channels: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
