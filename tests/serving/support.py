"""What the tests of tools/serving share: random packed layers with their weights in double precision, and quantized
folders with what sq-eval says of them. Run by scripts/test_serving.sh.
"""

import json
import os
import subprocess
from pathlib import Path

import torch

PROMPTS = ["Water boils at a temperature of", "The capital of France is", "Once upon a time, there was a",
           "def fibonacci(n):"]
NEW_TOKENS = 24
QUANTIZED = {"4-bit": "w4-s0", "3-bit, 0.45 %": "w3-s45"}  # folders in SQ_SERVING_MODELS


def folder(name):
    return Path(os.environ["SQ_SERVING_MODELS"]) / QUANTIZED[name]


def greedy_by_sq_eval(path):
    """The tokens with which sq-eval continues each prompt; kept beside the folder, since each run loads the model."""
    kept = Path(f"{path}-greedy.json")
    if not kept.exists():
        ids = []
        for prompt in PROMPTS:
            subprocess.run([Path(os.environ["SQ_BIN"]) / "sq-eval", path, "--generate", prompt, "--max-new-tokens",
                            str(NEW_TOKENS), "--json", f"{path}-eval.json", "--quiet"], check=True, capture_output=True)
            ids.append(json.loads(Path(f"{path}-eval.json").read_text())["generated"]["ids"])
        kept.write_text(json.dumps(ids))
    return json.loads(kept.read_text())


def pack(index, bits):
    """[out, in] -> int32 [in/32*bits, out], by the format's words alone: 32 inputs fill `bits` words, lowest bit first."""
    outputs, inputs = index.shape
    stream = (index.long().reshape(outputs, inputs // 32, 32, 1) >> torch.arange(bits)) & 1
    words = (stream.reshape(outputs, inputs // 32 * bits, 32) << torch.arange(32)).sum(-1)
    return torch.where(words < 2**31, words, words - 2**32).to(torch.int32).T.contiguous()


def unpack(qweight, bits):
    words, outputs = qweight.shape
    stream = (qweight.T.long().reshape(outputs, words, 1) >> torch.arange(32)) & 1
    return (stream.reshape(outputs, words // bits * 32, bits) << torch.arange(bits)).sum(-1)


def dense(rows, cols, vals, shape):
    weight = torch.zeros(shape, dtype=torch.float64)
    for output in range(shape[0] if rows.numel() else 0):
        for k in range(rows[output], rows[output + 1]):
            weight[output, cols[k]] += vals[k].double()
    return weight


def weight_of(tensors):
    """The weight [out, in] in double precision of qweight, lookup_table, rows, cols and vals."""
    qweight, table, *csr = tensors
    bits = table.shape[1].bit_length() - 1
    weight = torch.gather(table.double(), 1, unpack(qweight, bits))
    return weight + dense(*csr, weight.shape)


def random_layer(bits, outputs, inputs, outliers, generator):
    """qweight, lookup_table, rows, cols, vals; `outliers` of them in all, or None for no sparse part."""
    index = torch.randint(0, 2**bits, (outputs, inputs), generator=generator)
    table = torch.randn(outputs, 2**bits, generator=generator)
    empty = torch.empty(0, dtype=torch.int32)
    if outliers is None:
        return pack(index, bits), table, empty, empty, torch.empty(0)
    places = torch.randperm(outputs * inputs, generator=generator)[:outliers].sort().values
    rows = torch.searchsorted(places, torch.arange(outputs + 1) * inputs).to(torch.int32)
    return pack(index, bits), table, rows, (places % inputs).to(torch.int32), torch.randn(outliers, generator=generator)
