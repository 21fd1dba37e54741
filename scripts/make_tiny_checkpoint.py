#!/usr/bin/env python3
"""Writes a random LLaMA folder, tiny by default: config.json, safetensors, a small byte-level BPE tokenizer.

The standard library is enough, so that the command-line tests run on a machine with nothing but python3.
Same arguments, same bytes. Tensors of more than four million values repeat a block of random ones, so that a
checkpoint of LLaMA-2-7B's shape, for timing, takes no longer than the disk:
  make_tiny_checkpoint.py DIR --hidden 4096 --intermediate 11008 --layers 32 --heads 32 --kv-heads 32 --vocab 32000 --shards 3
"""

import argparse
import json
import math
import os
import random
import struct
import sys

# Merged in this order, each from two tokens that exist by then. "Ġ" stands for the space.
MERGES = ["t h", "th e", "Ġ the", "i n", "e r", "o n", "a n", "an d", "Ġ and", "in g", "Ġ o", "Ġo f", "Ġ a"]
END = "<|endoftext|>"


def byte_characters():
    """GPT-2's printable stand-in for each byte: itself where it is visible, else U+0100 and on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in visible]
    table = {byte: chr(byte) for byte in visible}
    table.update({byte: chr(0x100 + i) for i, byte in enumerate(others)})
    return [table[byte] for byte in range(256)]


TOKENS = byte_characters() + [merge.replace(" ", "") for merge in MERGES] + [END]


def make_tokenizer():
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": TOKENS.index(END), "content": END, "single_word": False,
                          "lstrip": False, "rstrip": False, "normalized": False, "special": True}],
        "normalizer": None, "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(TOKENS)}, "merges": MERGES}}


def make_config(arguments):
    end = TOKENS.index(END) if arguments.tokenizer else arguments.vocab - 1
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": arguments.hidden, "intermediate_size": arguments.intermediate,
        "num_hidden_layers": arguments.layers, "num_attention_heads": arguments.heads,
        "num_key_value_heads": arguments.kv_heads, "hidden_act": "silu",
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "rope_scaling": None, "vocab_size": arguments.vocab, "tie_word_embeddings": arguments.tied,
        "bos_token_id": end, "eos_token_id": end,
        "attention_bias": arguments.attention_bias, "mlp_bias": arguments.mlp_bias,
        "torch_dtype": arguments.dtype}


def tensor_shapes(arguments):
    hidden, inner = arguments.hidden, arguments.intermediate
    keys = hidden // arguments.heads * arguments.kv_heads
    block = {"self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (keys, hidden),
             "self_attn.v_proj": (keys, hidden), "self_attn.o_proj": (hidden, hidden),
             "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
             "mlp.down_proj": (hidden, inner), "input_layernorm": (hidden,),
             "post_attention_layernorm": (hidden,)}
    biased = {"self_attn": arguments.attention_bias, "mlp": arguments.mlp_bias}
    shapes = {"model.embed_tokens.weight": (arguments.vocab, hidden)}
    for layer in range(arguments.layers):
        for name, shape in block.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
            if biased.get(name.split(".")[0]):
                shapes[f"model.layers.{layer}.{name}.bias"] = shape[:1]
    shapes["model.norm.weight"] = (hidden,)
    if not arguments.tied:
        shapes["lm_head.weight"] = (arguments.vocab, hidden)
    return shapes


def to_bfloat16(values):
    """The upper half of each float32, rounded to nearest even."""
    bits = struct.unpack(f"<{len(values)}I", struct.pack(f"<{len(values)}f", *values))
    return struct.pack(f"<{len(values)}H", *((b + 0x7FFF + (b >> 16 & 1)) >> 16 for b in bits))


DTYPES = {  # name: (safetensors' name, encoder)
    "float16": ("F16", lambda values: struct.pack(f"<{len(values)}e", *values)),
    "bfloat16": ("BF16", to_bfloat16),
    "float32": ("F32", lambda values: struct.pack(f"<{len(values)}f", *values)),
}


BLOCK = 1 << 20  # values of a large tensor until they repeat


def make_values(name, count, generator, deviation=0.2):
    # Norms near 1, the rest wide enough that the logits are not flat.
    mean, deviation = (1.0, 0.1) if name.endswith("norm.weight") else (0.0, deviation)
    return [generator.gauss(mean, deviation) for _ in range(count)]


def write_values(file, name, shape, encode, generator, blocks):
    """The tensor's bytes, from the generator; those of a large one from a block, begun anywhere."""
    count = math.prod(shape)
    if count <= 4 * BLOCK:
        file.write(encode(make_values(name, count, generator)))
        return
    if not blocks:
        blocks.append(encode(make_values(name, BLOCK, generator, 0.02)))
    block = blocks[0]
    size = len(block) // BLOCK
    begin = generator.randrange(BLOCK) * size
    left = count * size
    while left > 0:
        part = block[begin:begin + left]
        file.write(part)
        left -= len(part)
        begin = 0


def write_safetensors(path, tensors, arguments, generator, blocks):
    """The format: 8 bytes of header length, the header as JSON padded to 8 bytes, the raw values."""
    dtype, encode = DTYPES[arguments.dtype]
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        begin, end = end, end + math.prod(shape) * len(encode([0.0]))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors:
            write_values(file, name, shape, encode, generator, blocks)
    return end


def write_weights(folder, arguments):
    """model.safetensors, or shards of about as many tensors each with their index; the values are the same."""
    generator = random.Random(arguments.seed)
    tensors, count, blocks = list(tensor_shapes(arguments).items()), arguments.shards, []
    if count == 1:
        write_safetensors(os.path.join(folder, "model.safetensors"), tensors, arguments, generator, blocks)
        return
    weight_map, total = {}, 0
    for shard in range(count):
        part = tensors[len(tensors) * shard // count:len(tensors) * (shard + 1) // count]
        file_name = f"model-{shard + 1:05}-of-{count:05}.safetensors"
        total += write_safetensors(os.path.join(folder, file_name), part, arguments, generator, blocks)
        weight_map.update({name: file_name for name, _ in part})
    write_json(folder, "model.safetensors.index.json",
               {"metadata": {"total_size": total}, "weight_map": weight_map})


def write_json(folder, name, content):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=1)
        file.write("\n")


def check(arguments):
    sizes = ("hidden", "intermediate", "layers", "heads", "kv_heads", "vocab", "shards")
    for name in sizes:
        if getattr(arguments, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1")
    if arguments.hidden % (2 * arguments.heads):
        raise ValueError("--hidden must be an even multiple of --heads")
    if arguments.heads % arguments.kv_heads:
        raise ValueError("--heads must be a multiple of --kv-heads")
    if arguments.tokenizer and arguments.vocab < len(TOKENS):
        raise ValueError(f"--vocab must be at least {len(TOKENS)}, the tokenizer's size, or give "
                         "--no-tokenizer")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", metavar="DIR", help="folder to write; files of these names are replaced")
    for name, value in (("hidden", 64), ("intermediate", 96), ("layers", 2), ("heads", 4),
                        ("kv-heads", 2), ("vocab", 288), ("shards", 1), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value, metavar="N",
                            help="(default: %(default)s)")
    parser.add_argument("--dtype", choices=DTYPES, default="float16", help="(default: %(default)s)")
    parser.add_argument("--tied", action="store_true", help="no lm_head: the embeddings serve")
    parser.add_argument("--attention-bias", action="store_true", help="q, k, v and o with a bias")
    parser.add_argument("--mlp-bias", action="store_true", help="gate, up and down with a bias")
    parser.add_argument("--tokenizer", action=argparse.BooleanOptionalAction, default=True,
                        help="write tokenizer.json and tokenizer_config.json")
    arguments = parser.parse_args()
    try:
        check(arguments)
        os.makedirs(arguments.output, exist_ok=True)
        write_json(arguments.output, "config.json", make_config(arguments))
        write_weights(arguments.output, arguments)
        if arguments.tokenizer:
            write_json(arguments.output, "tokenizer.json", make_tokenizer())
            write_json(arguments.output, "tokenizer_config.json", {
                "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "bos_token": END,
                "add_bos_token": False, "model_max_length": 2048})
    except (OSError, ValueError) as error:
        print(f"make_tiny_checkpoint: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
