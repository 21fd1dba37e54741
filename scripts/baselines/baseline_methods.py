"""Other methods of weight quantization, for scripts/baselines/baselines.py: round to nearest, GPTQ (llmcompressor),
HQQ (hqq), and llama.cpp's kinds (llama-cpp-python).

Each takes a Model and returns the linear layers, quantized and dequantized again, as {HF name: float array
[out][in]}, and the number of bits that the method stores for all of them. Packages are imported where they
are used: a method whose package is missing raises ImportError, the others work.
"""

import collections
import ctypes
import functools
import os
import sys
import time

import numpy as np

# folder: of the fp16 model; config: its config.json; weights: {HF name: array}; tokens: calibration token
# ids [samples][length]; work: a folder for what the methods keep.
Model = collections.namedtuple("Model", "folder config weights tokens work")


def is_linear(name):
    """Whether all methods quantize this tensor. Embedding, head and norms stay in fp16."""
    return name.endswith("_proj.weight")


def linear_weights(model):
    return {name: weight for name, weight in model.weights.items() if is_linear(name)}


def grid_bits(shape, bits, group):
    """What codes of `bits` bits take, with a scale in fp16 and a zero point of `bits` bits per group."""
    count = shape[0] * shape[1]
    return count * bits + count // group * (16 + bits)


# Round to nearest

def round_to_nearest(weight, bits, group):
    """weight [out][in] -> the nearest values of an asymmetric grid per `group` neighbours of a row, float32.
    The grid holds 0 and reaches from the smallest to the largest of them, up to half a step."""
    if weight.shape[1] % group:
        raise ValueError(f"rows of {weight.shape[1]} weights do not divide into groups of {group}")
    values = weight.astype(np.float32).reshape(-1, group)
    low = np.minimum(values.min(axis=1, keepdims=True), 0)
    high = np.maximum(values.max(axis=1, keepdims=True), 0)
    top = 2 ** bits - 1
    scale = ((high - low) / top).astype(np.float16).astype(np.float32)  # as it is stored
    scale[scale == 0] = 1
    zero = np.clip(np.round(-low / scale), 0, top)
    codes = np.clip(np.round(values / scale) + zero, 0, top)
    return ((codes - zero) * scale).reshape(weight.shape)


def rtn(model, bits, group=None):
    """group None: one grid per output channel."""
    result, stored = {}, 0
    for name, weight in linear_weights(model).items():
        result[name] = round_to_nearest(weight, bits, group or weight.shape[1])
        stored += grid_bits(weight.shape, bits, group or weight.shape[1])
    return result, stored


# GPTQ

def load_transformer(model):
    import torch
    import transformers
    transformers.utils.logging.disable_progress_bar()
    return transformers.AutoModelForCausalLM.from_pretrained(
        model.folder, dtype=torch.float32).eval().requires_grad_(False)


def gptq(model, bits, group=None):
    """GPTQ (Frantar et al. 2022) as llmcompressor does it: asymmetric, columns in the order of activation
    ("static", which stores no order), each layer calibrated on the outputs of the quantized ones before it.
    The bits are those of GPTQ's own packing; scales rounded to fp16 as that stores them."""
    os.environ.setdefault("LLM_COMPRESSOR_LOG_LEVEL", "ERROR")
    os.environ.setdefault("TQDM_DISABLE", "1")
    import torch
    from llmcompressor import oneshot
    from llmcompressor.modifiers.gptq import GPTQModifier
    scheme = {"num_bits": bits, "type": "int", "symmetric": False}
    scheme.update({"strategy": "group", "group_size": group} if group else {"strategy": "channel"})
    samples = [{"input_ids": torch.tensor(sample), "attention_mask": torch.ones(len(sample), dtype=int)}
               for sample in model.tokens]
    network = load_transformer(model)
    oneshot(model=network, dataset=torch.utils.data.DataLoader(samples), pipeline="sequential",
            recipe=GPTQModifier(config_groups={"all": {"targets": ["Linear"], "weights": scheme}},
                                ignore=["lm_head"]),
            num_calibration_samples=len(samples), max_seq_length=len(model.tokens[0]))
    result, stored = {}, 0
    modules = dict(network.named_modules())
    for name, weight in linear_weights(model).items():
        module = modules[name.removesuffix(".weight")]
        scale = module.weight_scale.detach()
        width = weight.shape[1] // scale.shape[1]
        steps = module.weight.detach() / scale.repeat_interleave(width, 1)
        if (steps - steps.round()).abs().max() > 0.01:
            raise ValueError(f"{name}: llmcompressor left weights that are not on its grid")
        scale = scale.half().float().repeat_interleave(width, 1)
        result[name] = (steps.round() * scale).numpy()
        stored += grid_bits(weight.shape, bits, width)
    return result, stored


# HQQ

def hqq(model, bits, group):
    """HQQ (Badri and Shaji 2023), its package's defaults but groups along a row (axis 1), as its fast kernels
    want them. Scales and zeros are fp16; the package packs ten 3-bit codes into 32 bits."""
    import torch
    from hqq.core.quantize import Quantizer
    result, stored = {}, 0
    for name, weight in linear_weights(model).items():
        codes, meta = Quantizer.quantize(torch.from_numpy(weight).float(), nbits=bits, group_size=group,
                                         axis=1, round_zero=bits == 4, device="cpu")
        for part in ("scale", "zero"):
            meta[part] = meta[part].half()
        stored += 8 * sum(part.nbytes for part in (codes, meta["scale"], meta["zero"]))
        meta["compute_dtype"] = torch.float32
        for part in ("scale", "zero"):
            meta[part] = meta[part].float()
        result[name] = Quantizer.dequantize(codes, meta).numpy()
    return result, stored


# llama.cpp

def gguf_name(name):
    """HF name -> GGUF name."""
    sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    import gguf_to_hf
    stem = name.removesuffix(".weight")
    for ours, theirs in gguf_to_hf.GLOBAL_NAMES.items():
        if stem == theirs:
            return f"{ours}.weight"
    _, _, layer, part = stem.split(".", 3)
    ours = {theirs: ours for ours, theirs in gguf_to_hf.BLOCK_NAMES.items()}[part]
    return f"blk.{layer}.{ours}.weight"


def write_gguf(model, path):
    """The fp16 model as GGUF, without a tokenizer. llama.cpp quantizes row by row, so that rows of queries
    and keys may stay in HF's order, which its converter changes."""
    import gguf
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for name, weight in model.weights.items():
        writer.add_tensor(gguf_name(name), weight.astype(np.float16 if weight.ndim == 2 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def importance(model):
    """llama.cpp's importance matrix: for each linear layer, the mean square of each input over the
    calibration tokens (tools/imatrix there). {HF name: float32 [in]}"""
    import torch
    network = load_transformer(model)
    sums = collections.defaultdict(float)

    def add(name):
        def hook(_module, inputs, _output):
            sums[name] += inputs[0].double().square().flatten(0, -2).sum(0)
        return hook

    for name, module in network.named_modules():
        if is_linear(f"{name}.weight"):
            module.register_forward_hook(add(f"{name}.weight"))
    with torch.no_grad():
        for sample in model.tokens:
            network.model(torch.tensor([sample]), use_cache=False)
    count = sum(len(sample) for sample in model.tokens)
    return {name: (total / count).float().numpy() for name, total in sums.items()}


def prepare_llama_cpp(model):
    """What all kinds share, kept in model.work: the model as GGUF, and its importance matrix. Returns the
    CPU seconds that this takes."""
    llama_library()  # missing packages are to be missed before the long pass
    source, matrix = (os.path.join(model.work, name) for name in ("model-f16.gguf", "imatrix.npz"))
    if not os.path.exists(matrix):
        started = time.process_time()
        write_gguf(model, source)
        values = importance(model)
        np.savez(matrix + ".tmp.npz", seconds=time.process_time() - started, **values)
        os.rename(matrix + ".tmp.npz", matrix)
    return float(np.load(matrix)["seconds"])


@functools.cache
def llama_library():
    """llama-cpp-python, which says on stderr only what fails."""
    import llama_cpp as library
    error = 4  # ggml_log_level

    @library.llama_log_callback
    def log(level, text, _):
        if level == error:
            print(text.decode(errors="replace"), end="", file=sys.stderr)

    library.llama_log_set(log, None)
    return library, log  # which must live as long


def llama_cpp(model, kind):
    """One of llama.cpp's mixes of types, with an importance matrix. Rows that a type's blocks of 256 do not
    divide get llama.cpp's own replacement, as a user's would; the bits are those of the file's tensors.
    prepare_llama_cpp comes first."""
    import gguf
    library, _ = llama_library()
    values = dict(np.load(os.path.join(model.work, "imatrix.npz")))
    del values["seconds"]
    pointer = ctypes.POINTER(ctypes.c_float)
    entries = [library.llama_model_imatrix_data(gguf_name(name).encode(), mean.ctypes.data_as(pointer),
                                                mean.size) for name, mean in values.items()]
    table = (library.llama_model_imatrix_data * (len(entries) + 1))(*entries)  # the last one is empty
    parameters = library.llama_model_quantize_default_params()
    parameters.ftype = getattr(library, f"LLAMA_FTYPE_MOSTLY_{kind}")
    parameters.token_embedding_type = parameters.output_tensor_type = gguf.GGMLQuantizationType.F16
    parameters.imatrix = ctypes.cast(table, ctypes.POINTER(library.llama_model_imatrix_data))
    source, output = (os.path.join(model.work, f"model-{name}.gguf") for name in ("f16", kind))
    status = library.llama_model_quantize(source.encode(), output.encode(), ctypes.byref(parameters))
    if status != 0:
        raise ValueError(f"llama.cpp could not quantize to {kind} (status {status})")
    result, stored = {}, 0
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(output).tensors}
    for name, weight in linear_weights(model).items():
        tensor = tensors[gguf_name(name)]
        result[name] = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(weight.shape)
        stored += 8 * int(tensor.n_bytes)
    os.remove(output)
    return result, stored
