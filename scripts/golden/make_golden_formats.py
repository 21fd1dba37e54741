#!/usr/bin/env python3
"""Makes tests/golden/text/formats: tokenizer forms beyond those of make_golden_tokenizers.py, and what the
libraries that own them answer for the strings of texts.json and fuzz.json.

    pip install tokenizers==0.23.3 sentencepiece==0.2.3 tiktoken==0.14.0 mistral-common==1.13.1
    scripts/golden/make_golden_formats.py [DATA]     with a data folder that make_real_tokenizers.py lays out, real.json too

Run it after make_golden_tokenizers.py, whose files it builds on.
"""

import base64
import io
import json
import pathlib
import sys
import tempfile
import unicodedata

import sentencepiece
import tiktoken
import tiktoken_ext.openai_public
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer, normalizers

from golden_texts import training_text

TEXT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "text"
OUT = TEXT / "formats"

# The pre-tokenizers of published files. DeepSeek LLM's list of letters is longer there.
DEEPSEEK_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕ"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U0001e900-\U0001e943")
KIMI_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
KIMI_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
KIMI_ENDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
KIMI = "|".join((
    r"[\p{Han}]+",
    rf"[^\r\n\p{{L}}\p{{N}}]?{KIMI_UPPER}*{KIMI_LOWER}+{KIMI_ENDS}",
    rf"[^\r\n\p{{L}}\p{{N}}]?{KIMI_UPPER}+{KIMI_LOWER}*{KIMI_ENDS}",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"))
DEEPSEEK3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
             r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
             r"|\s*[\r\n]+|\s+(?!\S)|\s+")

# What each construct of Oniguruma's syntax finds.
PATTERNS = [
    r"^a", r"\s+$", r"[a-z]$", r"^", r"$", r"\A.", r".\Z", r".\z", r"\Ga", r"\b", r"\B", r"\w+",
    r"\W+", r"[\w]+", r"[^\w\s]+", r"\bthe\b", r"[a-c&&[^b]]+", r"[^a-m&&\p{L}]+",
    r"[a-z&&[aeiou]&&[^e]]", r"[^[ab]c]+", r"[[:punct:]]+|[[:digit:]]",
    r"[[:xdigit:]_]+", r"[[:space:]]|[[:blank:]]", r"[[:cntrl:]]", r"[[:word:]]+", r"[[:xdigit:]]+",
    r"\h+", r"(?i:[a-f]+)", r"(?i:[^a-f]+)", r"(?i:the)", r"(?<=\s)^|x$", r"^\s*\n", r"\n^",
    r"$\n", r"[\p{L}\p{N}&&[^\p{Ll}\d]]", r"[-a]", r"[a&&^a]", r"[+--]", r"[a-c-e]", r"(a|b$)+",
    r"[&&a]", r"[\s\S]$", r"[\p{P}\p{S}&&[^'\-]]+", r"[一-龥]+", r"[ࠀ-一\p{Lu}]", r"a|\b"]


def fnv1a(ids):
    """64-bit FNV-1a over the ids as little-endian int32."""
    value = 0xcbf29ce484222325
    for byte in b"".join(i.to_bytes(4, "little") for i in ids):
        value = (value ^ byte) * 0x100000001b3 % 2**64
    return value


def summary(lists):
    """Count and hash of all ids, each list closed by 2**31 - 1."""
    ids = [i for one in lists for i in [*one, 2**31 - 1]]
    return {"count": len(ids), "fnv1a": f"{fnv1a(ids):016x}"}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def pre_tokenizers():
    last = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
            "use_regex": False}
    words = {**last, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    runs = {"type": "Digits", "individual_digits": False}
    cjk = split("[一-龥ࠀ-一가-\ud7ff]+")

    def punctuation(behavior):
        return {"type": "Punctuation", "behavior": behavior}

    named = {
        "DeepSeek LLM": sequence(
            split("[\r\n]"), split(rf"\s?[{DEEPSEEK_LETTERS}]+"),
            split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), split(r"\s+$"), cjk, digits, last),
        "DeepSeek Coder": sequence(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), cjk,
                                   digits, last),
        "DeepSeek V3": sequence(split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"),
                                split(DEEPSEEK3), last),
        "Falcon": sequence(punctuation("Contiguous"), words, runs, split("[0-9][0-9][0-9]")),
        "Kimi": sequence(split(KIMI), last),
        "Command-R": {**sequence({**digits, "odd": 1}, {**words, "odd": {"a": [None]}}), "odd": 2},
        "a prefix before more": sequence({**words, "add_prefix_space": True},
                                         punctuation("MergedWithPrevious"),
                                         split("[aeiou]", "MergedWithNext")),
        "bytes spelled twice": sequence(last, last),
        "white space": sequence({"type": "WhitespaceSplit"}, last),
        "words and symbols": sequence({"type": "Whitespace"}, last),
        "a delimiter": sequence({"type": "CharDelimiterSplit", "delimiter": "e"}, last),
    }
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        named["punctuation " + behavior] = sequence(punctuation(behavior), last)
        named["punctuation after bytes " + behavior] = sequence(last, punctuation(behavior))
    for pattern in PATTERNS:
        named[pattern] = sequence(split(pattern), last)
    return named


def make_pre_tokenizers(texts):
    """In the place of that of gpt2/tokenizer.json."""
    base = json.loads((TEXT / "gpt2" / "tokenizer.json").read_text())
    result = []
    for name, value in pre_tokenizers().items():
        tokenizer = Tokenizer.from_str(json.dumps({**base, "pre_tokenizer": value}))
        result.append({"name": name, "pre_tokenizer": value,
                       "ids": summary([tokenizer.encode(text).ids for text in texts])})
    write_json(OUT / "pre_tokenizers.json", result)


# What a table of characters replaces: ligatures, marks, wide letters, white space and control characters.
RULES = {"ﬁ": "fi", "ﬀ": "ff", "½": "1⁄2", "①": "1", "\u212b": "\u00c5", "A\u030a": "\u00c5", "e\u0301": "\u00e9",
         "カ\u3099": "ガ", "\u00a0": " ", "\u3000": " ", "\u2003": " ", "\t": " ", "\r": " ", "\n": " ",
         "\u200b": " ", "\u007f": "", "…": "...", "Ａ": "a", "ＡＢ": "ab"}


def train_unigram():
    """Pieces and a small table of characters in the place of NFKC's, which has 180 KB."""
    model = io.BytesIO()
    with tempfile.TemporaryDirectory() as scratch:
        rules = pathlib.Path(scratch) / "rules.tsv"
        rules.write_text("".join(
            "\t".join(" ".join(f"{ord(c):X}" for c in part) for part in rule) + "\n"
            for rule in RULES.items()))
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([line.replace("\n", " ") for line in training_text()]),
            model_writer=model, vocab_size=620, model_type="unigram", byte_fallback=True,
            normalization_rule_tsv=str(rules), num_threads=1, character_coverage=0.98,
            hard_vocab_limit=False, minloglevel=2)
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return ([[piece.piece, round(piece.score, 4)] for piece in proto.pieces],
            base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode())


def make_unigram(texts):
    pieces, table = train_unigram()
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    precompiled = {"type": "Precompiled", "precompiled_charsmap": table}
    value = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": pieces[i][0], "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}
                         for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [precompiled]},
        "pre_tokenizer": sequence({"type": "WhitespaceSplit"}, metaspace),
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"Sequence": {"id": "A", "type_id": 0}},
                                      {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                                    {"Sequence": {"id": "B", "type_id": 0}}],
                           "special_tokens": {"</s>": {"id": "</s>", "ids": [2],
                                                       "tokens": ["</s>"]}}},
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": False}}
    write_json(OUT / "unigram" / "tokenizer.json", value)
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}
    right = {"type": "Strip", "strip_left": False, "strip_right": True}
    left = {"type": "Strip", "strip_left": True, "strip_right": False}
    ends = {"type": "Replace", "pattern": {"Regex": "\\s+$|^x"}, "content": "y"}
    changes = [
        {},
        {"model": {"byte_fallback": True}},
        {"normalizer": None},
        {"normalizer": {"type": "Sequence", "normalizers": [precompiled, right, spaces]},
         "pre_tokenizer": {**metaspace, "split": False}},
        {"normalizer": {"type": "Sequence", "normalizers": [left, right, ends]},
         "pre_tokenizer": metaspace},
        {"normalizer": {"type": "ByteLevel"}, "pre_tokenizer": None},
        {"normalizer": None, "model": {"byte_fallback": True},
         "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                           "use_regex": True}},
        {"post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1],
                            "trim_offsets": True, "add_prefix_space": True}},
        {"post_processor": {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}},
    ]
    result = []
    for change in changes:
        changed = {**value, **change}
        changed["model"] = {**value["model"], **change.get("model", {})}
        tokenizer = Tokenizer.from_str(json.dumps(changed))
        ids = [tokenizer.encode(text).ids for text in texts]
        decoded = [tokenizer.decode(one, skip_special_tokens=False).encode() for one in ids]
        result.append({"change": change, "ids": summary(ids), "decoded": summary(decoded)})
    write_json(OUT / "unigram" / "variants.json", result)


def read_ranks(path):
    lines = path.read_text().split()
    return {base64.b64decode(token): int(rank) for token, rank in zip(lines[::2], lines[1::2])}


LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+")


COMPOSE = normalizers.NFC().normalize_str


def encodings(ranks):
    """Pattern and special tokens of each; where the latter begin there and with `ranks`; what texts begin with."""
    public = tiktoken_ext.openai_public
    public.load_tiktoken_bpe = lambda *args, **kwargs: ranks
    public.data_gym_to_mergeable_bpe_ranks = public.load_tiktoken_bpe
    return {
        "r50k_base": (public.r50k_base(), 50256, len(ranks), []),
        "cl100k_base": (public.cl100k_base(), 100256, len(ranks), []),
        "o200k_base": (public.o200k_harmony(), 199998, len(ranks), []),
        "qwen": ({"pat_str": LLAMA3_PATTERN.replace("{1,3}", ""), "special_tokens": {
            name: 151643 + i for i, name in enumerate(
                ["<|endoftext|>", "<|im_start|>", "<|im_end|>",
                 *(f"<|extra_{i}|>" for i in range(205))])}}, 151643, len(ranks), []),
        "llama3": ({"pat_str": LLAMA3_PATTERN, "special_tokens": {
            "<|begin_of_text|>": 128000, "<|end_of_text|>": 128001, "<|eot_id|>": 128009,
            "<|reserved_special_token_245|>": 128255}}, 128000, 128000, [128000]),
        "llama4": ({"pat_str": public.o200k_base()["pat_str"], "special_tokens": {
            "<|begin_of_text|>": 200000, "<|end_of_text|>": 200001, "<|eot|>": 200008}}, 200000, 200000, [200000]),
    }


def make_tiktoken(texts):
    """What tiktoken makes of xgen/r50k_base.tiktoken by the rules of each encoding, each with its first
    special tokens; they lie behind the vocabulary as there, in LLaMA-3's at 128000."""
    ranks = read_ranks(TEXT / "xgen" / "r50k_base.tiktoken")
    result = {}
    for name, (known, there, here, begin) in encodings(ranks).items():
        special = {token: rank - there + here for token, rank in known["special_tokens"].items()}
        # Two names of one id, of which the tool knows the other.
        special.pop("<|reserved_200018|>", None)
        encoding = tiktoken.Encoding(name, pat_str=known["pat_str"], mergeable_ranks=ranks,
                                     special_tokens=special)
        shown = sorted(special)[:20] + sorted(special)[-20:]
        ids = [begin + encoding.encode(COMPOSE(text) if name == "qwen" else text,
                                       allowed_special="all") for text in texts + shown]
        result[name] = {"special": shown, "ids": summary(ids)}
    write_json(OUT / "tiktoken.json", result)


TEKKEN_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def make_tekken(texts):
    """A tekken.json of the same tokens, bytes first and the last ten not in use; ids by mistral_common,
    which finds no special tokens in texts: those with one are left out."""
    tokens = sorted(read_ranks(TEXT / "xgen" / "r50k_base.tiktoken").items(), key=lambda item: item[1])
    order = [bytes([i]) for i in range(256)] + [token for token, _ in tokens if len(token) > 1]
    value = {
        "config": {"pattern": TEKKEN_PATTERN, "num_vocab_tokens": len(order),
                   "default_vocab_size": len(order) - 10 + 30, "default_num_special_tokens": 30,
                   "version": "v3"},
        "vocab": [{"rank": i, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
                  for i, token in enumerate(order)]}
    write_json(OUT / "tekken" / "tekken.json", value)
    tokenizer = Tekkenizer.from_file(OUT / "tekken" / "tekken.json")
    special = [str(token["token_str"]) for token in tokenizer._all_special_tokens]
    result = {"special": special}
    kept = [i for i, text in enumerate(texts) if not any(name in text for name in special)]
    result["ids"] = summary([tokenizer.encode(texts[i], bos=True, eos=False) for i in kept])
    write_json(OUT / "tekken" / "ids.json", result)


REAL = {"llama-3-tiktoken": ("llama3", "tokenizer.model"), "llama-4-tiktoken": ("llama4", "tokenizer.model"),
        "qwen-7b": ("qwen", "qwen.tiktoken"), "o200k_base": ("o200k_base", "o200k_base.tiktoken"),
        "cl100k_base": ("cl100k_base", "cl100k_base.tiktoken")}


def load_real(folder):
    """A function from text to ids: tiktoken's, mistral_common's or that of tokenizers."""
    if (folder / "tekken.json").exists():
        tokenizer = Tekkenizer.from_file(folder / "tekken.json")
        return lambda text: tokenizer.encode(text, bos=True, eos=False)
    if folder.name not in REAL:
        fast = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return lambda text: fast.encode(text).ids
    name, file = REAL[folder.name]
    ranks = read_ranks(folder / file)
    known, _, _, begin = encodings(ranks)[name]
    encoding = tiktoken.Encoding(name, pat_str=known["pat_str"], mergeable_ranks=ranks,
                                 special_tokens=known["special_tokens"])
    return lambda text: begin + encoding.encode(COMPOSE(text) if name == "qwen" else text,
                                                allowed_special="all")


def make_real(data, fuzz):
    """What the libraries make of real files for fuzzed strings (without those that look like special tokens,
    which mistral_common does not find) and DATA/wikitext-2/test.txt."""
    wikitext = (data / "wikitext-2" / "test.txt").read_bytes().decode()
    result = {}
    for name in (*REAL, "mistral-nemo-tekken", "pixtral-tekken", "deepseek-v4"):
        encode = load_real(data / "models" / name)
        result[name] = {"wikitext2": summary([encode(wikitext)]),
                        "fuzz": summary([encode(text) for text in fuzz if "<" not in text])}
    write_json(OUT / "real.json", result)


def main():
    short = [text for text in json.loads((TEXT / "texts.json").read_text())
             if isinstance(text, str) and len(text) <= 400]
    fuzz = json.loads((TEXT / "fuzz.json").read_text())
    assert all(unicodedata.category(c) != "Cn" for text in fuzz for c in text)
    make_pre_tokenizers(short)
    make_unigram(short)
    make_tiktoken(short + fuzz)
    make_tekken(short + fuzz)
    if len(sys.argv) > 1:
        make_real(pathlib.Path(sys.argv[1]), fuzz)


if __name__ == "__main__":
    main()
