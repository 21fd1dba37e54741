#!/usr/bin/env python3
"""Recreates tests/golden/models: tiny random model folders and what transformers computes with them.

Each folder gets golden.safetensors: token ids, logits, losses, Fisher diagonals and a greedy
continuation, in float64 from the weights as they are on disk. tests/golden/README.md tells the names.
"""

import argparse
import json
import os
import shutil
import sys
from dataclasses import dataclass

try:
    import safetensors.torch
    import torch
    import transformers
    from transformers.models.llama.modeling_llama import LlamaRMSNorm
    from transformers.models.ministral.modeling_ministral import MinistralRMSNorm
    from transformers.models.mistral.modeling_mistral import MistralRMSNorm
    from transformers.models.phi3.modeling_phi3 import Phi3RMSNorm
    from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
    from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm
except ImportError as error:
    sys.exit(f"make_golden: {error}; install torch, transformers and safetensors")

LENGTHS = (48, 31, 16)
PROMPT_LENGTH, NEW_TOKENS = 5, 12
PIECES = (5, 1, 1, 9, 2, 14, 1, 15)  # of sequence 0, where `cached` is set


@dataclass
class Golden:
    """One model. The dtypes, both spellings of the config and both file layouts occur among them."""
    name: str
    dtype: str
    config: dict
    # transformers 5 writes dtype and rope_parameters; the folders published for the original's models
    # have torch_dtype, rope_theta and rope_scaling.
    legacy_config: bool
    shard_size: str = "1GB"
    family: str = "Llama"
    # Rotated by the sequence's length: sequences that are shorter and longer than the original context,
    # and what follows a prompt by way of a cache, since that is not what the whole sequence gives.
    cached: bool = False
    seed: int | None = None  # the model's place in the list


MODELS = [
    Golden("llama-mha-fp16", "float16", legacy_config=True, config=dict(
        vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=False,
        rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
    Golden("llama-gqa-tied-fp32", "float32", legacy_config=False, config=dict(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 100000.0})),
    # Wavelengths of the eight frequencies: 6 to 20,000 positions. With an original length of 32, one
    # stays, one is blended and the rest are divided by the factor: all three branches.
    Golden("llama3-rope-bf16", "bfloat16", legacy_config=True, config=dict(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0,
                         "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 32})),
    Golden("llama-head-dim-fp16", "float16", legacy_config=False, config=dict(
        vocab_size=160, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=32, tie_word_embeddings=False,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 500000.0})),
    Golden("llama-sharded-bf16", "bfloat16", legacy_config=True, shard_size="24KB", config=dict(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=False,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
    # The window is shorter than every sequence.
    Golden("mistral-window-bf16", "bfloat16", legacy_config=True, family="Mistral", config=dict(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, sliding_window=7,
        tie_word_embeddings=False,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
    # The last layer sees a window, the first one everything.
    Golden("qwen2-tied-bf16", "bfloat16", legacy_config=True, family="Qwen2", config=dict(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True,
        use_sliding_window=True, sliding_window=9, max_window_layers=1,
        rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})),
    Golden("qwen3-bf16", "bfloat16", legacy_config=False, family="Qwen3", config=dict(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, tie_word_embeddings=False,
        rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0})),
    Golden("opt-fp16", "float16", legacy_config=True, family="OPT", config=dict(
        vocab_size=128, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4,
        word_embed_proj_dim=32, do_layer_norm_before=True, dropout=0.0)),
    # As Qwen's model cards have it for long texts.
    Golden("qwen2-yarn-bf16", "bfloat16", legacy_config=True, family="Qwen2", config=dict(
        vocab_size=128, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True, rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                         "original_max_position_embeddings": 24})),
    Golden("llama-dynamic-bf16", "bfloat16", legacy_config=True, cached=True, config=dict(
        vocab_size=128, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True, rms_norm_eps=1e-5,
        max_position_embeddings=14,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 3.0})),
    Golden("mistral-longrope-bf16", "bfloat16", legacy_config=False, family="Mistral", cached=True, config=dict(
        vocab_size=128, hidden_size=32, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, sliding_window=None,
        tie_word_embeddings=True, rms_norm_eps=1e-5, max_position_embeddings=56,
        rope_parameters={"rope_type": "longrope", "rope_theta": 10000.0,
                         "original_max_position_embeddings": 14,
                         "short_factor": [1.0, 1.0, 1.05, 1.1, 1.2, 1.3, 1.4, 1.5],
                         "long_factor": [1.1, 1.3, 1.7, 2.3, 3.1, 4.7, 6.1, 8.9]})),
    # Windows by layer_types, and the tanh form of GELU.
    Golden("ministral-gelu-bf16", "bfloat16", legacy_config=False, family="Ministral", seed=50, config=dict(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, sliding_window=7, hidden_act="gelu_new",
        layer_types=["full_attention", "sliding_attention", "full_attention"],
        tie_word_embeddings=False,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
    # Query, key and value in one tensor, gate and up in one.
    Golden("phi3-fused-bf16", "bfloat16", legacy_config=True, family="Phi3", seed=51, config=dict(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, sliding_window=9, tie_word_embeddings=False,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})),
]


def norm_in_input_precision(self, hidden_states):
    """The forward of each RMS norm without its cast to float32, which would cap a float64 run."""
    variance = hidden_states.pow(2).mean(-1, keepdim=True)
    return self.weight * (hidden_states * torch.rsqrt(variance + self.variance_epsilon))


def to_legacy(config):
    """The spelling of transformers 4, in place; a head_dim that follows from the others is left out."""
    if "rope_parameters" in config:
        rope = config.pop("rope_parameters")
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    head_dim = config.get("head_dim", 0)
    if head_dim * config["num_attention_heads"] == config["hidden_size"]:
        del config["head_dim"]
    config.pop("layer_types", None)
    del config["transformers_version"]


def write_model(golden, folder, seed):
    torch.manual_seed(seed)
    # The default range of 0.02 would leave the logits almost flat, and any mistake invisible.
    spread = "init_std" if golden.family == "OPT" else "initializer_range"
    config = getattr(transformers, golden.family + "Config")(
        **{"max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None,
           spread: 0.2, **golden.config})
    model = getattr(transformers, golden.family + "ForCausalLM")(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # 0 everywhere would hide one that is skipped
                parameter.copy_(0.2 * torch.randn_like(parameter))
            elif "norm" in name:  # 1 everywhere would hide a norm that is skipped or swapped
                parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
    model.to(getattr(torch, golden.dtype)).save_pretrained(folder, max_shard_size=golden.shard_size)
    if golden.legacy_config:
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        to_legacy(content)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")


class UnluckySeed(Exception):
    pass


def forget_lengths(model):
    """transformers' rotary embedding keeps the frequencies of the longest sequence that it has seen."""
    rotary = getattr(model.model, "rotary_emb", None)
    if hasattr(rotary, "max_seq_len_cached"):
        rotary.max_seq_len_cached = rotary.original_max_seq_len
        rotary.register_buffer("inv_freq", rotary.original_inv_freq.clone(), persistent=False)


def in_pieces(model, tokens, sizes):
    """The logits after each piece, fed with a cache."""
    forget_lengths(model)
    cache, logits, begin = None, [], 0
    for size in sizes:
        out = model(tokens[None, begin:begin + size], past_key_values=cache, use_cache=True)
        cache, begin = out.past_key_values, begin + size
        logits.append(out.logits[0, -1])
    return torch.stack(logits)


def greedy(model, prompt, count, cached):
    """The continuation, each step from scratch: no cache that could be wrong; or with one."""
    tokens = list(prompt)
    forget_lengths(model)
    for _ in range(count):
        if cached:
            sizes = [len(prompt)] + [1] * (len(tokens) - len(prompt))
            last = in_pieces(model, torch.tensor(tokens), sizes)[-1]
        else:
            last = model(torch.tensor([tokens])).logits[0, -1]
        top = last.topk(2)
        if top.values[0] - top.values[1] < 1e-2:
            raise UnluckySeed("the greedy continuation has a near tie")
        tokens.append(int(top.indices[0]))
    if model.config.eos_token_id in tokens[len(prompt):]:
        raise UnluckySeed("the greedy continuation ends early")
    return tokens[len(prompt):]


def compute_golden(folder, seed, cached):
    """Everything from the files on disk, in float64 (rotary angles in float32, as transformers has
    them), rounded to float32 at the end."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float64,
        attn_implementation="sdpa").eval()  # "eager" has its softmax in float32
    generator = torch.Generator().manual_seed(seed)
    layers = {name: module.weight for name, module in model.model.named_modules(prefix="model")
              if isinstance(module, torch.nn.Linear)}
    fisher = {name: torch.zeros_like(weight) for name, weight in layers.items()}
    result, losses = {}, []
    for index, length in enumerate(LENGTHS[:2] + (12,) if cached else LENGTHS):
        tokens = torch.randint(model.config.vocab_size, (length,), generator=generator)
        forget_lengths(model)
        logits = model(tokens[None]).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1], tokens[1:])
        gradients = torch.autograd.grad(loss, list(layers.values()))
        for name, gradient in zip(layers, gradients):
            fisher[name] += gradient.square()
        result[f"tokens.{index}"] = tokens
        result[f"logits.{index}"] = logits.detach()
        losses.append(loss.detach())
    result["losses"] = torch.stack(losses)
    result.update({f"fisher.{name}.weight": value for name, value in fisher.items()})
    prompt = torch.randint(3, model.config.vocab_size, (PROMPT_LENGTH,), generator=generator)
    with torch.no_grad():
        continuation = greedy(model, prompt.tolist(), NEW_TOKENS, cached)
        if cached:
            result["pieces.sizes"] = torch.tensor(PIECES)
            result["pieces.logits"] = in_pieces(model, result["tokens.0"], PIECES)
    result["prompt"], result["continuation"] = prompt, torch.tensor(continuation)
    result = {name: (value.float() if value.is_floating_point() else value).contiguous()
              for name, value in result.items()}
    safetensors.torch.save_file(result, os.path.join(folder, "golden.safetensors"))


def main():
    default = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/golden/models")
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="models to make (default: all)")
    parser.add_argument("--output", metavar="DIR", default=os.path.normpath(default),
                        help="where the model folders go (default: tests/golden/models)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the order of sums, and with it the last bits, are then the same
    transformers.utils.logging.disable_progress_bar()
    for norm in (LlamaRMSNorm, MinistralRMSNorm, MistralRMSNorm, Phi3RMSNorm, Qwen2RMSNorm, Qwen3RMSNorm):
        norm.forward = norm_in_input_precision
    for number, golden in enumerate(MODELS):
        if arguments.names and golden.name not in arguments.names:
            continue
        folder = os.path.join(arguments.output, golden.name)
        for attempt in range(10):
            shutil.rmtree(folder, ignore_errors=True)
            place = number if golden.seed is None else golden.seed
            seed = arguments.seed + place + 100 * attempt
            write_model(golden, folder, seed)
            try:
                compute_golden(folder, seed, golden.cached)
                break
            except UnluckySeed as error:
                print(f"{golden.name}: seed {seed}: {error}", file=sys.stderr)
        else:
            return 1
        size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
        print(f"{golden.name}: {size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
