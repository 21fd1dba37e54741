#!/usr/bin/env python3
"""Makes tests/golden/text/configurations.json: what transformers' AutoTokenizer makes of each tokenizer_config.json.

    pip install transformers==4.57.6 sentencepiece==0.2.3 protobuf tiktoken && \
      scripts/golden/make_golden_configurations.py
    pip install transformers==5.24.0 torch && scripts/golden/make_golden_configurations.py

Each run writes the cases with the ids of its own version and keeps those of the other; of a case that a version
cannot load it writes null. The vocabularies are those of make_golden_tokenizers.py.
"""

import json
import os
import pathlib
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error", TOKENIZERS_PARALLELISM="false")

import transformers

from golden_ids import expand, summary, write_json

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden" / "text"

LLAMA3 = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
LLAMA2 = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def token(content, **properties):
    return {"content": content, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False,
            **properties}


def tagged(content, **properties):
    return {"__type": "AddedToken", **token(content, **properties)}


def case(name, base, config, files=None, change=None, follows=4, model_type=None):
    """`base` is a folder of tests/golden/text and which of its files are there; `change` takes the place of parts of
    its tokenizer.json; `follows` is the version whose ids are to come out where both have some."""
    files = {"tokenizer_config.json": config, **(files or {})} if config is not None else dict(files or {})
    files["config.json"] = {"model_type": model_type or "llama"}
    return {"name": name, "base": base, "files": files, "change": change or {}, "follows": follows}


def flag_cases():
    """Who obeys add_bos_token and add_eos_token, and who leaves it to the post_processor of a tokenizer.json."""
    both = {"add_bos_token": True, "add_eos_token": True}
    cases = []
    for kind, tokens, classes in (
            ("llama3/tokenizer.json", LLAMA3,
             "PreTrainedTokenizerFast LlamaTokenizerFast GPTNeoXTokenizerFast GPT2Tokenizer Qwen2Tokenizer "
             "CohereTokenizer TokenizersBackend OfNoLibrary"),
            ("llama2/tokenizer.json", LLAMA2, "PreTrainedTokenizerFast LlamaTokenizer CodeLlamaTokenizer "
             "GemmaTokenizer GPT2Tokenizer RobertaTokenizer CodeGenTokenizer")):
        for name in classes.split():
            for flags in ({}, {"add_bos_token": False}, both):
                if name == "CodeGenTokenizer" and flags == both:
                    continue  # an error
                cases.append(case(f"{kind}: {name} {json.dumps(flags)}", kind, {"tokenizer_class": name, **tokens, **flags}))
    for name in ("PreTrainedTokenizerFast", "LlamaTokenizer", "GPTNeoXTokenizer"):
        cases.append(case(f"{name} without a post_processor", "llama2/tokenizer.json",
                          {"tokenizer_class": name, **LLAMA2}, change={"post_processor": None}))
        cases.append(case(f"{name} without names of tokens", "gpt2/tokenizer.json", {"tokenizer_class": name}))
    for flags in ({}, {"add_bos_token": False}, both):
        cases.append(case(f"tokenizer.model {json.dumps(flags)}", "llama/tokenizer.model",
                          {"tokenizer_class": "LlamaTokenizer", **flags}))
    # Without a class tokenizer.json decides, and of what transformers 5 saves too.
    cases.append(case("no class", "llama3/tokenizer.json", None, follows=5))
    cases.append(case("saved by transformers 5", "llama2/tokenizer.json", follows=5, change={
        "post_processor": None, "normalizer": None, "pre_tokenizer": {
            "type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}},
        config={"tokenizer_class": "LlamaTokenizer", "backend": "tokenizers", **LLAMA2}))
    return cases


def split_cases():
    """vocab.json and merges.txt, whose rule goes by the class."""
    cases = []
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<fim_pad>",
             "sep_token": "<sep>", "additional_special_tokens": ["<|im_start|>", "the model"]}
    for name in ("GPT2Tokenizer", "GPT2TokenizerFast", "CodeGenTokenizer", "Qwen2Tokenizer", "Qwen2TokenizerFast",
                 "RobertaTokenizer", "BartTokenizer", "LongformerTokenizer", "LEDTokenizer", "MvpTokenizer",
                 "GPTNeoXTokenizer"):
        settings = [{}, {"add_bos_token": True, "add_eos_token": True}, {"add_prefix_space": True}, named]
        if "Fast" in name or name in ("BartTokenizer", "LongformerTokenizer", "LEDTokenizer", "MvpTokenizer"):
            settings = settings[:1]
        for setting in settings:
            if name == "CodeGenTokenizer" and "add_bos_token" in setting:
                continue  # an error
            cases.append(case(f"split: {name} {', '.join(setting)}", "qwen2/vocab.json",
                              {"tokenizer_class": name, **setting}, model_type="opt"))
    for model_type in ("opt", "qwen2", "qwen3"):
        cases.append(case(f"split: {model_type}", "qwen2/vocab.json", None, model_type=model_type))
    cases.append(case("split: opt with BOS, no class", "gpt2/vocab.json",
                      {"add_bos_token": True, "bos_token": tagged("<|endoftext|>")}, model_type="opt"))
    return cases


def space_cases():
    """add_prefix_space and legacy."""
    cases = []
    for of_file in (True, False):
        for name in ("PreTrainedTokenizerFast", "GPT2Tokenizer", "LlamaTokenizer"):
            for setting in ({}, {"add_prefix_space": None}, {"add_prefix_space": True}, {"add_prefix_space": False}):
                if name == "LlamaTokenizer" and setting.get("add_prefix_space") is not None:
                    continue  # transformers 4 has no such tokenizer, and 5 takes another class
                cases.append(case(f"space: {name} {json.dumps(setting)}, file {of_file}", "gpt2/tokenizer.json",
                                  {"tokenizer_class": name, "bos_token": "<|endoftext|>", **setting},
                                  change={"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": of_file,
                                                            "trim_offsets": True, "use_regex": True}}))
    for base in ("mistral/tokenizer.json", "llama/tokenizer.model"):
        for space in (True, False):
            for legacy in ({}, {"legacy": True}, {"legacy": False}):
                # transformers 4 makes the tokenizer.json anew from the tokenizer.model, which has to be there.
                config = {"tokenizer_class": "LlamaTokenizer", **LLAMA2, "add_prefix_space": space, **legacy}
                cases.append(case(f"space: {base} {space} {json.dumps(legacy)}", base + "+tokenizer.model", config))
    cases.append(case("space: no legacy", "llama/tokenizer.model",
                      {"tokenizer_class": "LlamaTokenizer", "legacy": False}))
    cases.append(case("space: of a Sequence nothing changes", "qwen2/tokenizer.json",
                      {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": True}))
    return cases


def token_cases():
    """Which tokens are added, with which properties, and which count as special."""
    hidden = {"split_special_tokens": True}
    left, mark = "<left>", "<fim_prefix>"
    settings = {
        "nothing": ({}, {}),
        "split_special_tokens": (hidden, {}),
        "a new bos_token": ({"bos_token": mark}, {}),
        "a new pad_token as object": ({"pad_token": tagged(mark, lstrip=True, rstrip=True)}, {}),
        "an empty pad_token": ({"pad_token": ""}, {}),
        "additional_special_tokens": ({"additional_special_tokens": [mark, "zqxj", " model"]}, {}),
        "additional_special_tokens as objects": ({"additional_special_tokens": [tagged(mark, lstrip=True)]}, {}),
        "extra_special_tokens as list": ({"extra_special_tokens": ["zqxj", mark]}, {}),
        "extra_special_tokens by name": ({"extra_special_tokens": {"z_token": "zqxj", "a_token": mark}}, {}),
        "special_tokens_map.json": ({"bos_token": "zqxj", "eos_token": "</s>"}, {"special_tokens_map.json": {
            "bos_token": mark, "eos_token": None, "pad_token": token("<fim_pad>", rstrip=True)}}),
        "special_tokens_map.json adds to a list": ({"additional_special_tokens": ["zqxj"]}, {
            "special_tokens_map.json": {"additional_special_tokens": [mark, token("<sep>", lstrip=True)]}}),
        "added_tokens_decoder alone": ({"bos_token": mark, "added_tokens_decoder": {}}, {
            "special_tokens_map.json": {"bos_token": "zqxj"}, "added_tokens.json": {"zqxj": 5000}}),
    }
    bases = {"gpt2/tokenizer.json": ("GPT2TokenizerFast", 808), "llama2/tokenizer.json": ("LlamaTokenizer", 901),
             "qwen2/tokenizer.json": ("Qwen2Tokenizer", 737), "qwen2/vocab.json": ("Qwen2Tokenizer", 734),
             "llama/tokenizer.model": ("LlamaTokenizer", 900)}
    cases = []
    for base, (name, next_id) in bases.items():
        for title, (config, files) in settings.items():
            if title == "extra_special_tokens as list" and name == "LlamaTokenizer":
                continue  # of transformers 5, whose LlamaTokenizer differs in more
            cases.append(case(f"{base}: {title}", base, {"tokenizer_class": name, **config}, files=files))
        if base == "qwen2/vocab.json":
            continue  # <|endoftext|>, which the class takes for granted, would contend for the next id
        # Of a tokenizer.model, transformers finds normalized tokens at the start of a text alone.
        normalized = base != "llama/tokenizer.model"
        cases.append(case(f"{base}: added_tokens_decoder", base, {
            "tokenizer_class": name, **hidden, "added_tokens_decoder": {
                str(next_id + 1): token("zqxj", normalized=normalized),
                str(next_id): token(mark, special=True, lstrip=True)}}))
        cases.append(case(f"{base}: added_tokens.json", base, {
            "tokenizer_class": name, **hidden, "pad_token": mark},
            files={"added_tokens.json": {**({"zqxj": next_id + 1} if normalized else {}), mark: next_id}}))
    decoder = {"800": token(left, lstrip=True, special=False)}
    ways = {"by name": {"pad_token": left}, "as object": {"pad_token": tagged(left, rstrip=True)},
            "in a list": {"additional_special_tokens": [left]},
            "in a list, as object": {"additional_special_tokens": [tagged(left, rstrip=True)]}}
    for title, way in ways.items():
        for how, more in (("", {}), (", by decoder", {"added_tokens_decoder": decoder}),
                          (", not by decoder", {"added_tokens_decoder": {}})):
            cases.append(case(f"a known token {title}{how}", "gpt2/tokenizer.json", {
                "tokenizer_class": "GPT2Tokenizer", **hidden, **way, **more}))
    for change in ({"lstrip": False}, {"rstrip": True}, {"single_word": True}, {"special": True}):
        for setting in ({}, hidden):
            cases.append(case(f"a changed token {json.dumps(change)} {json.dumps(setting)}", "gpt2/tokenizer.json", {
                "tokenizer_class": "GPT2Tokenizer", **setting,
                "added_tokens_decoder": {"800": {**decoder["800"], **change}}}))
    return cases


def key_cases():
    """Keys that change no ids, whatever they say."""
    keys = {"clean_up_tokenization_spaces": True, "sp_model_kwargs": {"enable_sampling": True, "nbest_size": 3},
            "use_default_system_prompt": True, "do_lower_case": True, "add_dummy_prefix": False, "model_max_length": 3,
            "truncation_side": "left", "padding_side": "left", "errors": "strict", "chat_template": "x",
            "spaces_between_special_tokens": False, "image_token": "zqxj", "trim_offsets": False, "from_slow": False}
    return [case(f"{base}: harmless keys", base, {"tokenizer_class": name, **keys})
            for base, name in (("gpt2/tokenizer.json", "GPT2Tokenizer"), ("llama2/tokenizer.json", "LlamaTokenizer"),
                               ("qwen2/vocab.json", "Qwen2Tokenizer"), ("llama/tokenizer.model", "LlamaTokenizer"))]


def lay_out(one, folder):
    first, *more = one["base"].split("+")
    name, file = first.split("/")
    if file == "tokenizer.model" or more:
        (folder / "tokenizer.model").write_bytes((OUT / "llama" / "tokenizer.model").read_bytes())
    if file == "tokenizer.json":
        value = json.loads((OUT / name / "tokenizer.json").read_text())
        (folder / "tokenizer.json").write_text(json.dumps({**value, **one["change"]}))
    if file == "vocab.json":
        model = json.loads((OUT / name / "tokenizer.json").read_text())["model"]
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    for file, value in one["files"].items():
        (folder / file).write_text(json.dumps(value))


def ids_of(one, texts):
    """Count and hash of the texts' ids, or None."""
    with tempfile.TemporaryDirectory() as folder:
        lay_out(one, pathlib.Path(folder))
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            return summary([tokenizer(text)["input_ids"] for text in texts])
        except Exception as error:  # each version has its own way of failing
            print(f"{one['name']}: {type(error).__name__}: {str(error)[:100]}")
            return None


def main():
    texts = [expand(text) for text in json.loads((OUT / "texts.json").read_text())]
    texts = [text for text in texts if len(text) <= 400]
    path = OUT / "configurations.json"
    before = {one["name"]: one for one in json.loads(path.read_text())} if path.exists() else {}
    cases = flag_cases() + split_cases() + space_cases() + token_cases() + key_cases()
    assert len({one["name"] for one in cases}) == len(cases)
    mine, other = ("ids4", "ids5") if transformers.__version__.startswith("4") else ("ids5", "ids4")
    for one in cases:
        one[mine] = ids_of(one, texts)
        one[other] = before.get(one["name"], {}).get(other)
    write_json(path, cases)


if __name__ == "__main__":
    main()
