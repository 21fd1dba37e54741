#!/usr/bin/env python3
"""Makes tests/golden/text: small tokenizers of each kind and what Hugging Face's libraries answer.

    pip install transformers==4.46.3 tokenizers==0.20.3 sentencepiece==0.2.3 protobuf tiktoken==0.14.0
    scripts/golden/make_golden_tokenizers.py [DATA]     with a data folder (such as make_real_tokenizers.py
                                                 lays out), real.json too

The newest transformers have no slow LlamaTokenizer any more, which the original method used.
Training text and test strings are generated here, so the same versions give the same files.
Long because it is one list: each kind of tokenizer beside the library that answers for it.
"""

import base64
import io
import json
import pathlib
import random
import sys
import tempfile
import unicodedata

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers
import tiktoken
import tiktoken_ext.openai_public
from transformers import GPT2Tokenizer, LlamaTokenizer, LlamaTokenizerFast
from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

from golden_ids import digest, expand, fnv1a, summary, write_json
from golden_texts import LONG, NASTY, fuzz_texts, training_text

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "text"

LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def train_bpe(pre_tokenizer, size, special, alphabet):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special,
                                  initial_alphabet=alphabet,
                                  show_progress=False)
    tokenizer.train_from_iterator(training_text(), trainer)
    return tokenizer


def make_gpt2():
    """GPT-2: ByteLevel alone; merges as "a b", as older versions do; every kind of added token."""
    tokenizer = train_bpe(pre_tokenizers.ByteLevel(add_prefix_space=False), 800, ["<|endoftext|>"],
                          pre_tokenizers.ByteLevel.alphabet())
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_tokens([
        AddedToken("<left>", lstrip=True, normalized=False),
        AddedToken("<right>", rstrip=True, normalized=False),
        AddedToken("<both>", lstrip=True, rstrip=True, normalized=False),
        AddedToken("word", single_word=True, normalized=False),
        AddedToken("<norm>", normalized=True),
        AddedToken("long", normalized=True),
        AddedToken("longer", normalized=True),
        AddedToken("er>", normalized=False),
    ])
    value = json.loads(tokenizer.to_str())
    value["model"]["merges"] = [" ".join(merge) for merge in value["model"]["merges"]]
    return value, {}


def make_llama3():
    """LLaMA-3: its pattern, ignore_merges with a token that no merge makes, BOS by template."""
    pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_PATTERN), "isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = train_bpe(pre_tokenizer, 900, [], pre_tokenizers.ByteLevel.alphabet())
    value = json.loads(tokenizer.to_str())
    for token in ("zqxj", "Ġzqxj"):
        value["model"]["vocab"][token] = len(value["model"]["vocab"])
    value["model"]["ignore_merges"] = True
    tokenizer = Tokenizer.from_str(json.dumps(value))
    tokenizer.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>", "<|eot|>"])
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|begin_of_text|> $A",
                                      pair="<|begin_of_text|> $A <|begin_of_text|> $B",
                                      special_tokens=[("<|begin_of_text|>", bos)])])
    return json.loads(tokenizer.to_str()), {
        "bos_token": "<|begin_of_text|>", "eos_token": {"content": "<|end_of_text|>"}}


def make_smollm():
    """SmolLM2: digits one by one; a vocabulary without all the bytes, so that some are dropped."""
    pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = train_bpe(pre_tokenizer, 700, special, [])
    return json.loads(tokenizer.to_str()), {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}


def make_qwen2():
    """Qwen2: NFC, its pattern (LLaMA-3's with digits one by one), no special tokens around."""
    pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_PATTERN.replace("{1,3}", "")), "isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = train_bpe(pre_tokenizer, 800, [], pre_tokenizers.ByteLevel.alphabet())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    return json.loads(tokenizer.to_str()), {
        "tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": False, "bos_token": None,
        "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}


def make_fast_llama(model, legacy):
    """LLaMA-2 (legacy): Prepend and Replace; special tokens normalized, as its file has them.
    Mistral's newer files: Metaspace at the start of the text alone."""
    tokenizer = LlamaTokenizerFast(str(model), legacy=legacy, add_prefix_space=True, from_slow=True)
    value = json.loads(tokenizer.backend_tokenizer.to_str())
    for token in value["added_tokens"]:
        token["normalized"] = legacy
    value["added_tokens"].append({"id": len(value["model"]["vocab"]), "content": "<|im_end|>",
                                  "single_word": False, "lstrip": False, "rstrip": False,
                                  "normalized": False, "special": True})
    return value, {"tokenizer_class": "LlamaTokenizer", "legacy": legacy, "add_bos_token": True,
                   "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>",
                   "unk_token": "<unk>"}


def make_llama_variants(llama2, texts):
    """Other normalizers, pre-tokenizers and options in the place of the LLaMA-2 file's."""
    prepend, replace = llama2["normalizer"]["normalizers"]
    changes = [{"normalizer": n} for n in (
        None, prepend, replace, {"type": "Sequence", "normalizers": [replace, prepend]},
        {"type": "Sequence", "normalizers": [{"type": "NFC"}, prepend, replace]},
        {"type": "Replace", "pattern": {"String": "aa"}, "content": ""})]
    for scheme in ("always", "first", "never"):
        for split in (False, True):
            changes.append({"normalizer": None, "pre_tokenizer": {
                "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme,
                "split": split}})
    changes.append({"normalizer": None, "pre_tokenizer": {
        "type": "Metaspace", "replacement": "▁", "add_prefix_space": True}})
    changes.append({"normalizer": None, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"String": "e"}, "behavior": "MergedWithNext",
         "invert": False},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}]}})
    for options in ({"byte_fallback": False}, {"byte_fallback": False, "fuse_unk": False},
                    {"byte_fallback": False, "unk_token": None}, {"ignore_merges": True}):
        changes.append({"model": options})
    fuse, strip = {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    fallback = {"type": "ByteFallback"}
    space = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    for decoder in ([space], [fallback, fuse], [space, fallback, strip],
                    [space, fuse, {**strip, "start": 2, "stop": 3}],
                    [{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
                      "split": True}, fallback],
                    [fallback, {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never",
                                "split": True}]):
        changes.append({"decoder": {"type": "Sequence", "decoders": decoder}})
    result = []
    for change in changes:
        value = {**llama2, **change}
        value["model"] = {**llama2["model"], **change.get("model", {})}
        tokenizer = Tokenizer.from_str(json.dumps(value))
        encoded = [tokenizer.encode(text).ids for text in texts]
        decoded = [list(tokenizer.decode(ids, skip_special_tokens=False).encode())
                   for ids in encoded]
        result.append({"change": change, "ids": summary(encoded), "decoded": summary(decoded)})
    return result


XGEN_CODE_TOKENS = (
    "<fim_prefix> <fim_middle> <fim_suffix> <fim_pad> <filename> <gh_stars> <issue_start> "
    "<issue_comment> <issue_closed> <jupyter_start> <jupyter_text> <jupyter_code> "
    "<jupyter_output> <empty_output> <commit_before> <commit_msg> <commit_after> "
    "<reponame>").split()


def xgen_encoding(ranks):
    """XGen's tokenizer as its tokenization_xgen.py composes it, from GPT-2's ranks (or others)."""
    ranks = dict(ranks)
    special = {"<|endoftext|>": len(ranks)}
    added = XGEN_CODE_TOKENS + [f"<dummy_{i}>" for i in range(4)] + ["<sep>", "<eom>"] + [
        f"<mask_{i}>" for i in range(881, 0, -1)]
    next_id = len(ranks) + 1
    for run in [b" " * n for n in range(31, 1, -1)] + [b"\t" * n for n in range(9, 1, -1)]:
        ranks[run] = next_id
        next_id += 1
    for token in added:
        special[token] = next_id
        next_id += 1
    return tiktoken.Encoding("xgen", pat_str=tiktoken_ext.openai_public.r50k_pat_str,
                             mergeable_ranks=ranks, special_tokens=special)


def make_xgen(gpt2, folder, texts):
    """A rank file in the place of GPT-2's, and what tiktoken makes of the texts with it."""
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    tokens = [bytes(byte_of[c] for c in token) for token in gpt2["model"]["vocab"]
              if token != "<|endoftext|>"]
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "XgenTokenizer", "add_eos_token": False, "eos_token": "<|endoftext|>"})
    (folder / "r50k_base.tiktoken").write_text("".join(
        f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens)))
    encoding = xgen_encoding({token: rank for rank, token in enumerate(tokens)})
    write_golden(folder, texts, lambda text: encoding.encode(text, allowed_special="all"),
                 encoding.decode)
    return encoding


def make_variants(gpt2, texts):
    """Other pre-tokenizers, post-processors and unknown tokens in the GPT-2 file's place."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                  "use_regex": True}
    plain = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": False}
    changes = [{"pre_tokenizer": byte_level},
               {"pre_tokenizer": plain},
               {"pre_tokenizer": {**plain, "add_prefix_space": True}}]
    patterns = [{"Regex": "\\s+"}, {"Regex": "[^\\s\\p{L}]+|\\p{Lu}"}, {"String": " "},
                {"String": "."},
                {"Regex": "\\d{1,2}"}, {"Regex": "(?=[A-Z])"}, {"Regex": "x*"}]
    for i, pattern in enumerate(patterns):
        for j, behavior in enumerate(["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                      "Contiguous"]):
            split = {"type": "Split", "pattern": pattern, "behavior": behavior,
                     "invert": (i + j) % 2 == 1}
            last = byte_level if j == 1 else plain
            changes.append({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, last]}})
    for individual in (False, True):
        digits = {"type": "Digits", "individual_digits": individual}
        changes.append({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            digits, {"type": "Sequence", "pretokenizers": [byte_level]}]}})
    end = {"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}
    changes.append({"post_processor": {
        "type": "TemplateProcessing", "single": [end, {"Sequence": {"id": "A", "type_id": 0}}, end],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0, 5],
                                             "tokens": ["<|endoftext|>", "x"]}}}})
    result = []
    for change in changes:
        tokenizer = Tokenizer.from_str(json.dumps({**gpt2, **change}))
        ids = [i for text in texts for i in tokenizer.encode(text).ids + [-1 % 2**31]]
        result.append({"change": change, "count": len(ids), "fnv1a": f"{fnv1a(ids):016x}"})
    return result


def make_documents(folder):
    """A small C4, for scripts/golden/make_golden_windows.py."""
    rng = random.Random(3)
    lines = training_text()
    documents = []
    for _ in range(60):
        start = rng.randrange(len(lines) - 100)
        documents.append(" ".join(lines[start:start + rng.choice((0, 1, 2, 5, 9, 30))]))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "c4-sample.jsonl").write_text("".join(
        json.dumps({"url": "none", "text": text}, ensure_ascii=i % 2 == 0) + "\n"
        for i, text in enumerate(documents)))


def make_sentencepiece(folder):
    """LLaMA: byte fallback, identity normalization, digits split, all white space kept."""
    model = io.BytesIO()  # a file would leave its path in the model
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line.replace("\n", " ") for line in training_text()]),
        model_writer=model,
        vocab_size=900, model_type="bpe", byte_fallback=True, split_digits=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, num_threads=1, character_coverage=0.995, minloglevel=2)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model.getvalue())
    write_json(folder / "tokenizer_config.json", {
        "tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False,
        "bos_token": {"__type": "AddedToken", "content": "<s>"},
        "eos_token": {"__type": "AddedToken", "content": "</s>"},
        "unk_token": {"__type": "AddedToken", "content": "<unk>"}})
    return LlamaTokenizer(str(folder / "tokenizer.model"), legacy=True)


def load_real(folder):
    """A function from text to ids: tokenizer.json as tokenizers reads it, else as transformers 4."""
    config = json.loads((folder / "tokenizer_config.json").read_text())
    if config.get("tokenizer_class") == "XgenTokenizer":
        byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
        vocabulary = json.loads((folder / "vocab.json").read_text())
        encoding = xgen_encoding({bytes(byte_of[c] for c in token): rank
                                  for token, rank in vocabulary.items()
                                  if token != "<|endoftext|>"})
        return lambda text: encoding.encode(text, allowed_special="all")
    if (folder / "tokenizer.json").exists():
        fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return lambda text: fast.encode(text).ids
    kind = LlamaTokenizer if (folder / "tokenizer.model").exists() else GPT2Tokenizer
    if not config.get("legacy", True):
        kind = LlamaTokenizerFast  # the slow one puts a space before a space, too
    tokenizer = kind.from_pretrained(folder)
    return lambda text: tokenizer(text)["input_ids"]


def make_real(data, fuzz):
    """What real tokenizers (DATA/models/...) make of DATA/wikitext-2/test.txt, DATA/c4/*.jsonl and
    the fuzzed strings. A tokenizer that is not there keeps what real.json has for it."""
    wikitext = (data / "wikitext-2" / "test.txt").read_bytes().decode()
    c4 = [json.loads(line)["text"] for path in sorted((data / "c4").glob("*.jsonl"))
          for line in path.read_bytes().decode().split("\n") if line]
    result = json.loads((OUT / "real.json").read_text())
    for folder in sorted((data / "models").iterdir()):
        if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model",
                                                         "vocab.json")):
            continue
        encode = load_real(folder)
        result[folder.name] = {name: summary([encode(text) for text in texts]) for name, texts in (
            ("wikitext2", [wikitext]), ("c4", c4), ("fuzz", fuzz))}
    write_json(OUT / "real.json", result)


def make_nfc():
    """Strings of marks, letters and Hangul, each with its composed form."""
    rng = random.Random(4)
    normalizer = normalizers.NFC()
    pools = [list(range(0x300, 0x370)), list(range(0x41, 0x7b)), list(range(0xc0, 0x180)),
             list(range(0x900, 0xe00)), list(range(0x1100, 0x1200)), list(range(0xac00, 0xd7a4)),
             list(range(0x1dc0, 0x1e00)) + list(range(0x8ca, 0x900)) + [0x7fd, 0x11a7, 0x212b],
             list(range(0x11000, 0x11a00)), list(range(0x16100, 0x16d80)), [0xfb1d, 0x2126, 0x1d15e]]
    texts = []
    for _ in range(150):
        pool = rng.choice(pools)
        texts.append("".join(chr(rng.choice(pool if rng.random() < 0.6 else rng.choice(pools)))
                             for _ in range(rng.randint(2, 8))))
    return [[text, normalizer.normalize_str(text)] for text in texts]


def write_golden(folder, texts, encode, decode):
    encoded = [encode(text) for text in texts]
    write_json(folder / "ids.json", [digest(ids) for ids in encoded])
    decoded = [decode(ids) for ids in encoded]
    write_json(folder / "decoded.json", {
        str(i): text for i, text in enumerate(decoded) if text != texts[i] and len(text) <= 400})


def main():
    texts = NASTY + fuzz_texts(300) + LONG
    write_json(OUT / "texts.json", texts)
    texts = [expand(text) for text in texts]
    short = [text for text in texts if len(text) <= 400]
    # Versions of tokenizers differ on characters newer than Unicode 14, Python 3.11's.
    fuzz = [text for text in fuzz_texts(2500)
            if all(unicodedata.category(c) != "Cn" for c in text)][:2000]
    (OUT / "fuzz.json").write_text(json.dumps(fuzz, ensure_ascii=False, separators=(",", ":")) +
                                   "\n")
    fuzz_ids = {}
    write_json(OUT / "nfc.json", make_nfc())
    slow = make_sentencepiece(OUT / "llama")
    model = OUT / "llama" / "tokenizer.model"
    for name, make in (("gpt2", make_gpt2), ("llama3", make_llama3), ("smollm", make_smollm),
                       ("qwen2", make_qwen2), ("llama2", lambda: make_fast_llama(model, True)),
                       ("mistral", lambda: make_fast_llama(model, False))):
        value, config = make()
        write_json(OUT / name / "tokenizer.json", value)
        write_json(OUT / name / "tokenizer_config.json", config)
        tokenizer = Tokenizer.from_file(str(OUT / name / "tokenizer.json"))
        write_golden(OUT / name, texts, lambda text: tokenizer.encode(text).ids,
                     lambda ids: tokenizer.decode(ids, skip_special_tokens=False))
        fuzz_ids[name] = summary([tokenizer.encode(text).ids for text in fuzz])
        if name == "gpt2":
            write_json(OUT / "variants.json", make_variants(value, short))
            make_documents(OUT / "c4")
            encoding = make_xgen(value, OUT / "xgen", texts)
            fuzz_ids["xgen"] = summary([encoding.encode(text, allowed_special="all")
                                        for text in fuzz])
        if name == "llama2":
            write_json(OUT / "llama2" / "variants.json", make_llama_variants(value, short))
    write_json(OUT / "llama" / "ids.json", [digest(slow(text)["input_ids"]) for text in texts])
    fuzz_ids["llama"] = summary([slow(text)["input_ids"] for text in fuzz])
    write_json(OUT / "fuzz_ids.json", fuzz_ids)
    if len(sys.argv) > 1:
        make_real(pathlib.Path(sys.argv[1]), fuzz)


if __name__ == "__main__":
    main()
