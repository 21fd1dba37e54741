#!/usr/bin/env python3
"""Dequantizes a LLaMA-architecture GGUF file to a Hugging Face folder in fp16.

Writes config.json, model.safetensors, and tokenizer.json (byte-level BPE only) from the file's own
metadata. Needs the packages gguf and numpy. Memory: one dequantized tensor at a time.
"""

import argparse
import json
import math
import os
import shutil
import struct
import sys
import tempfile

try:
    import gguf
    import numpy as np
except ImportError as error:
    sys.exit(f"gguf_to_hf: {error}; install the packages gguf and numpy")

# GGUF name -> HF name, without ".weight"; {} is the block number.
GLOBAL_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
BLOCK_NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
DERIVED = {"rope_freqs.weight"}  # in the config instead: see rope_scaling()

# tokenizer.ggml.token_type
UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4

LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
                r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


class Metadata:
    """The file's key-value pairs; a missing key without a default is an error that names it."""

    def __init__(self, reader):
        self.fields = reader.fields

    def get(self, key, *default):
        if key in self.fields:
            return self.fields[key].contents()
        if default:
            return default[0]
        raise ValueError(f"the metadata key {key} is missing")


def scalar(value, key):
    """Some files give a count per layer; HF's LLaMA has one for all."""
    if not isinstance(value, list):
        return value
    if len(set(value)) != 1:
        raise ValueError(f"{key} differs between layers, which LlamaForCausalLM does not have")
    return value[0]


def shortest(value):
    """The shortest decimal of a float32: 1e-05 rather than 9.999999747378752e-06."""
    return float(str(np.float32(value)))


def llama3_factors(theta, head_dim, scaling):
    """What LLaMA-3's rope scaling divides each frequency by (transformers: _compute_llama3_parameters)."""
    frequencies = theta ** -(np.arange(0, head_dim, 2) / head_dim)
    wavelengths = 2 * math.pi / frequencies
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    original = scaling["original_max_position_embeddings"]
    smooth = np.clip((original / wavelengths - low) / (high - low), 0, 1)
    return 1 / ((1 - smooth) / scaling["factor"] + smooth)


def rope_scaling(metadata, tensors, theta, head_dim):
    if "rope_freqs.weight" in tensors:
        # GGUF keeps only the resulting factors. Every LLaMA-3.x release has the same three constants,
        # and the largest factor is `factor`; whether that explains the tensor is checked, not assumed.
        factors = tensors["rope_freqs.weight"].data.astype(np.float64).ravel()
        scaling = {"rope_type": "llama3", "factor": shortest(factors.max()), "low_freq_factor": 1.0,
                   "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
        expected = llama3_factors(theta, head_dim, scaling)
        if factors.shape != expected.shape or not np.allclose(factors, expected, rtol=1e-4):
            raise ValueError("rope_freqs.weight is not LLaMA-3's rope scaling (factor "
                             f"{scaling['factor']}, 1 and 4, original length 8192)")
        return scaling
    kind = metadata.get("llama.rope.scaling.type", "none")
    if kind == "none":
        return None
    if kind != "linear":
        raise ValueError(f"rope scaling {kind!r} is not supported, only linear and LLaMA-3's")
    return {"rope_type": "linear", "factor": shortest(metadata.get("llama.rope.scaling.factor"))}


def make_config(metadata, tensors):
    heads = scalar(metadata.get("llama.attention.head_count"), "llama.attention.head_count")
    kv_heads = scalar(metadata.get("llama.attention.head_count_kv", heads),
                      "llama.attention.head_count_kv")
    hidden = metadata.get("llama.embedding_length")
    head_dim = metadata.get("llama.attention.key_length", hidden // heads)
    if metadata.get("llama.rope.dimension_count", head_dim) != head_dim:
        raise ValueError("a rotary part smaller than the head is not supported")
    if metadata.get("llama.expert_count", 0):
        raise ValueError("mixtures of experts are not supported")
    theta = shortest(metadata.get("llama.rope.freq_base", 10000.0))
    embedding = tensors.get("token_embd.weight")
    if embedding is None:
        raise ValueError("the tensor token_embd.weight is missing")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": scalar(metadata.get("llama.feed_forward_length"),
                                    "llama.feed_forward_length"),
        "num_hidden_layers": metadata.get("llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": metadata.get("llama.context_length"),
        "rms_norm_eps": shortest(metadata.get("llama.attention.layer_norm_rms_epsilon")),
        "rope_theta": theta,
        "rope_scaling": rope_scaling(metadata, tensors, theta, head_dim),
        "attention_bias": False,
        "mlp_bias": False,
        # GGUF's shapes run from the fastest dimension; the rows count, whatever the metadata says.
        "vocab_size": int(embedding.shape[1]),
        "tie_word_embeddings": "output.weight" not in tensors,
        "torch_dtype": "float16",
    }
    config.update(token_ids(metadata))
    return config


def token_ids(metadata):
    ids = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    ids = {name: metadata.get(f"tokenizer.ggml.{key}_token_id", None) for name, key in ids.items()}
    return {name: value for name, value in ids.items() if value is not None}


def hf_name(name):
    stem, _, kind = name.rpartition(".")
    parts = stem.split(".")
    if kind == "weight" and stem in GLOBAL_NAMES:
        return f"{GLOBAL_NAMES[stem]}.weight"
    if kind == "weight" and len(parts) == 3 and parts[0] == "blk" and parts[2] in BLOCK_NAMES:
        return f"model.layers.{int(parts[1])}.{BLOCK_NAMES[parts[2]]}.weight"
    raise ValueError(f"the tensor {name} has no place in LlamaForCausalLM")


def expected_shapes(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    block = {"input_layernorm": (hidden,), "post_attention_layernorm": (hidden,),
             "self_attn.q_proj": (queries, hidden), "self_attn.k_proj": (keys, hidden),
             "self_attn.v_proj": (keys, hidden), "self_attn.o_proj": (hidden, queries),
             "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden),
             "mlp.down_proj": (hidden, inner)}
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], hidden),
              "model.norm.weight": (hidden,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], hidden)
    for layer in range(config["num_hidden_layers"]):
        shapes.update({f"model.layers.{layer}.{k}.weight": v for k, v in block.items()})
    return shapes


def unpermute(weight, heads):
    """Undoes the converter's reordering of q and k: rows (pair, half) of each head -> (half, pair)."""
    rows, columns = weight.shape
    return (weight.reshape(heads, rows // heads // 2, 2, columns)
            .swapaxes(1, 2).reshape(rows, columns))


def to_fp16(tensor, name, config):
    """The tensor [out][in] in fp16, q and k rows in HF's order."""
    weight = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    weight = weight.reshape(tuple(int(n) for n in reversed(tensor.shape)))
    if name.endswith("q_proj.weight"):
        weight = unpermute(weight, config["num_attention_heads"])
    elif name.endswith("k_proj.weight"):
        weight = unpermute(weight, config["num_key_value_heads"])
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(weight, dtype="<f2")
    if not np.isfinite(half).all():
        raise ValueError(f"{name} has values beyond the range of fp16")
    return half


def write_safetensors(path, tensors, config):
    """Streams the tensors. The safetensors package wants all of them at once, so the header (8 bytes
    of length, JSON padded to 8, then raw values) is written here."""
    shapes = expected_shapes(config)
    sources = {hf_name(name): tensor for name, tensor in tensors.items() if name not in DERIVED}
    for name in shapes.keys() - sources.keys():
        raise ValueError(f"the tensor for {name} is missing")
    for name in sources.keys() - shapes.keys():
        raise ValueError(f"the tensor {name} is not in a model of this configuration")
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        found = tuple(int(n) for n in reversed(sources[name].shape))
        if found != shape:
            raise ValueError(f"{name}: expected shape {shape}, found {found}")
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in shapes:
            file.write(to_fp16(sources[name], name, config).data)


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
            "use_regex": use_regex}


def pre_tokenizer(kind):
    if kind in ("gpt-2", "default"):
        return byte_level(True)
    if kind == "smollm":
        digits = {"type": "Digits", "individual_digits": True}
        return {"type": "Sequence", "pretokenizers": [digits, byte_level(True)]}
    if kind == "llama-bpe":
        split = {"type": "Split", "pattern": {"Regex": LLAMA3_SPLIT}, "behavior": "Isolated",
                 "invert": False}
        return {"type": "Sequence", "pretokenizers": [split, byte_level(False)]}
    raise ValueError(f"unknown pre-tokenizer {kind!r} (tokenizer.ggml.pre); known: default, gpt-2, "
                     "llama-bpe, smollm")


def make_tokenizer(metadata):
    """tokenizer.json and tokenizer_config.json, as two dictionaries."""
    model = metadata.get("tokenizer.ggml.model")
    if model != "gpt2":
        raise ValueError(f"tokenizer {model!r} is not supported, only byte-level BPE (gpt2)")
    tokens = metadata.get("tokenizer.ggml.tokens")
    types = metadata.get("tokenizer.ggml.token_type")
    kind = metadata.get("tokenizer.ggml.pre", "default")
    if len(types) != len(tokens) or len(set(tokens)) != len(tokens):
        raise ValueError("the token list does not match its types or has duplicates")

    def token(key):
        index = metadata.get(f"tokenizer.ggml.{key}_token_id", None)
        if index is not None and index >= len(tokens):
            raise ValueError(f"tokenizer.ggml.{key}_token_id is {index} of {len(tokens)} tokens")
        return None if index is None else tokens[index]

    added = [{"id": i, "content": tokens[i], "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": types[i] != USER_DEFINED}
             for i in range(len(tokens)) if types[i] in (UNKNOWN, CONTROL, USER_DEFINED)]
    # Where the file is silent, llama.cpp adds a beginning only for LLaMA-3's tokenizer.
    add_bos = metadata.get("tokenizer.ggml.add_bos_token", kind == "llama-bpe")
    post = byte_level(True)
    if add_bos:
        bos = token("bos")
        if bos is None:
            raise ValueError("a beginning is to be added but tokenizer.ggml.bos_token_id is missing")
        start = {"SpecialToken": {"id": bos, "type_id": 0}}
        first, second = ({"Sequence": {"id": s, "type_id": t}} for s, t in (("A", 0), ("B", 1)))
        post = {"type": "TemplateProcessing", "single": [start, first],
                "pair": [start, first, start, second],
                "special_tokens": {bos: {"id": bos, "ids": [tokens.index(bos)], "tokens": [bos]}}}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": None, "pre_tokenizer": pre_tokenizer(kind), "post_processor": post,
        "decoder": byte_level(True),
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": kind == "llama-bpe",
                  "vocab": {text: i for i, text in enumerate(tokens)},
                  "merges": metadata.get("tokenizer.ggml.merges")},
    }
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False,
              "add_bos_token": add_bos, "bos_token": token("bos"), "eos_token": token("eos"),
              "unk_token": token("unknown"), "pad_token": token("padding"),
              "model_max_length": metadata.get("llama.context_length"),
              "chat_template": metadata.get("tokenizer.chat_template", None)}
    return tokenizer, {key: value for key, value in config.items() if value is not None}


def write_json(folder, name, content):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(content, file, ensure_ascii=False, indent=2)
        file.write("\n")


def convert(source, output):
    if os.path.exists(output):
        raise ValueError(f"{output} exists already")
    reader = gguf.GGUFReader(source)
    metadata = Metadata(reader)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    architecture = metadata.get("general.architecture")
    if architecture != "llama":
        raise ValueError(f"architecture {architecture!r}, expected 'llama'")
    config = make_config(metadata, tensors)
    tokenizer, tokenizer_config = make_tokenizer(metadata)

    # Renamed when complete, so that a folder under the final name is never a torn one.
    parent = os.path.dirname(os.path.abspath(output))
    os.makedirs(parent, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix=os.path.basename(os.path.abspath(output)) + ".", dir=parent)
    try:
        os.chmod(scratch, 0o755)  # mkdtemp's 0700 would follow the rename
        write_json(scratch, "config.json", config)
        write_json(scratch, "generation_config.json", token_ids(metadata))
        write_json(scratch, "tokenizer.json", tokenizer)
        write_json(scratch, "tokenizer_config.json", tokenizer_config)
        write_safetensors(os.path.join(scratch, "model.safetensors"), tensors, config)
        os.rename(scratch, output)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL.gguf", help="GGUF file of the architecture llama")
    parser.add_argument("output", metavar="OUTPUT_DIR", help="folder to write; must not exist")
    arguments = parser.parse_args()
    try:
        config = convert(arguments.model, arguments.output)
    except (OSError, ValueError, KeyError) as error:
        print(f"gguf_to_hf: {arguments.model}: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.output}: {config['num_hidden_layers']} layers, vocabulary "
          f"{config['vocab_size']}, fp16")
    return 0


if __name__ == "__main__":
    sys.exit(main())
