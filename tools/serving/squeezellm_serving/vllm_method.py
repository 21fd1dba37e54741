"""vLLM: the quantization "squeezellm". Config and method stand at module level because vLLM pickles them.

Each tensor of a layer has a loader of ours, which cuts it for the rank: vLLM's own cannot cut a CSR, and do not notice a
tensor that the checkpoint lacks.
"""

from functools import partial

import torch
from torch.nn import Parameter
from vllm.model_executor.layers.linear import (LinearBase, LinearMethodBase, QKVParallelLinear, ReplicatedLinear,
                                               RowParallelLinear, UnquantizedLinearMethod)
from vllm.model_executor.layers.quantization import register_quantization_config
from vllm.model_executor.layers.quantization.base_config import QuantizationConfig
from vllm.platforms import current_platform

from squeezellm_serving import outliers
from squeezellm_serving.op import lut_linear

SPARSE = ("rows", "cols", "vals")
QKV = {"q": 0, "k": 1, "v": 2}


@register_quantization_config("squeezellm")
class SqueezeLLMConfig(QuantizationConfig):
    def __init__(self, bits, modules_to_not_convert=()):
        super().__init__()
        if bits not in (2, 3, 4):
            raise ValueError(f"squeezellm: bits: expected 2, 3 or 4, found {bits}")
        self.bits = bits
        self.modules_to_not_convert = tuple(modules_to_not_convert)

    @classmethod
    def get_name(cls):
        return "squeezellm"

    def get_supported_act_dtypes(self):
        return [torch.float16, torch.bfloat16, torch.float32]

    @classmethod
    def get_min_capability(cls):
        return 0  # of a GPU; get_quant_method refuses them all

    @staticmethod
    def get_config_filenames():
        return ["quant_config.json"]

    @classmethod
    def from_config(cls, config):
        # "wbits": quant_config.json, where config.json has no quantization_config (the original's folders)
        return cls(cls.get_from_keys(config, ["bits", "wbits"]),
                   cls.get_from_keys_or(config, ["modules_to_not_convert"], None) or ())

    def get_quant_method(self, layer, prefix):
        if not isinstance(layer, LinearBase):
            return None
        if any(f".{name}." in f".{prefix}." for name in self.modules_to_not_convert):
            return UnquantizedLinearMethod()
        if not current_platform.is_cpu():
            raise ValueError("squeezellm: the operator runs on CPUs alone, and this vLLM on "
                             f"{current_platform.device_name}; `sq-pack dequantize` makes a folder that it serves")
        return SqueezeLLMLinearMethod(self.bits, prefix)


class SqueezeLLMLinearMethod(LinearMethodBase):
    """One LinearBase: a matrix, or several on top of each other (q, k, v; gate, up), each a part of its own on disk."""

    def __init__(self, bits, prefix):
        self.bits, self.prefix = bits, prefix

    def create_weights(self, layer, input_size_per_partition, output_partition_sizes, input_size, output_size,
                       params_dtype, **extra):
        if input_size_per_partition % 32 != 0:
            raise ValueError(f"{self.prefix}: expected a multiple of 32 inputs for each rank, found {input_size} inputs "
                             f"for {layer.tp_size} ranks; choose another tensor_parallel_size")
        self.inputs, self.parts = input_size_per_partition, list(output_partition_sizes)
        outputs = sum(self.parts)
        self.stash = {}  # (name, part) of what was loaded -> a CSR's tensor, uncut; None for the others
        tensors = {"qweight": torch.empty(self.inputs // 32 * self.bits, outputs, dtype=torch.int32),
                   "lookup_table": torch.empty(outputs, 2**self.bits)}
        tensors.update(zip(SPARSE, outliers.empty(), strict=True))
        for name, tensor in tensors.items():
            self._set(layer, name, tensor, partial(self._load, layer, name))
        # A hint for the original's kernels; unknown names would stop vLLM.
        self._set(layer, "startrows", torch.empty(0, dtype=torch.int32), lambda *ignored: None)

    def _set(self, layer, name, tensor, loader=None):
        parameter = Parameter(tensor, requires_grad=False)
        if loader is not None:
            parameter.weight_loader = loader
        layer.register_parameter(name, parameter)

    def _output_share(self, layer, part):
        """Which share, of how many, of a part's outputs this process holds."""
        if isinstance(layer, (RowParallelLinear, ReplicatedLinear)):
            return 0, 1
        # A few kv heads may be shared by several ranks.
        replicas = layer.num_kv_head_replicas if isinstance(layer, QKVParallelLinear) and part > 0 else 1
        return layer.tp_rank // replicas, layer.tp_size // replicas

    def _input_share(self, layer):
        return (layer.tp_rank, layer.tp_size) if isinstance(layer, RowParallelLinear) else (0, 1)

    def _load(self, layer, name, parameter, loaded, shard=None):
        if shard is None and len(self.parts) > 1:
            raise ValueError(f"{self.prefix}.{name}: is one tensor on disk; expected one for each of its "
                             f"{len(self.parts)} parts")
        part = QKV.get(shard, shard) or 0
        if name in SPARSE:
            self.stash[name, part] = loaded.clone()  # cut when all three are there
            return
        outputs, place = self.parts[part], sum(self.parts[:part])
        share, shares = self._output_share(layer, part)
        mine = slice(share * outputs, (share + 1) * outputs)
        if name == "qweight":
            words = self.inputs // 32 * self.bits
            input_share, input_shares = self._input_share(layer)
            self._check(name, loaded, [words * input_shares, outputs * shares])
            rows = slice(input_share * words, (input_share + 1) * words)
            parameter.data[:, place:place + outputs] = loaded[rows, mine]
        else:
            self._check(name, loaded, [outputs * shares, 2**self.bits])
            parameter.data[place:place + outputs] = loaded[mine]
        self.stash[name, part] = None

    def _check(self, name, tensor, shape):
        if list(tensor.shape) != shape:
            raise ValueError(f"{self.prefix}.{name}: expected {shape} at {self.bits} bits, found {list(tensor.shape)}")

    def process_weights_after_loading(self, layer):
        for name in ("qweight", "lookup_table", *SPARSE):
            loaded = [part for part in range(len(self.parts)) if (name, part) in self.stash]
            wanted = [part for part in range(len(self.parts))
                      if name not in SPARSE or any((other, part) in self.stash for other in SPARSE)]
            if loaded != wanted:
                raise ValueError(f"{self.prefix}.{name}: missing in the checkpoint: found parts {loaded} of {wanted}")
        joined = outliers.join([self._rank_outliers(layer, part) for part in range(len(self.parts))], self.parts)
        self.stash = {}
        for name, tensor in zip(SPARSE, joined, strict=True):
            self._set(layer, name, tensor)

    def _rank_outliers(self, layer, part):
        if ("rows", part) not in self.stash:
            return outliers.empty()
        csr = tuple(self.stash[name, part] for name in SPARSE)
        share, shares = self._output_share(layer, part)
        input_share, input_shares = self._input_share(layer)
        outliers.check(csr, self.parts[part] * shares, self.inputs * input_shares, self.prefix)
        csr = outliers.take_outputs(csr, share * self.parts[part], self.parts[part])
        return outliers.take_inputs(csr, input_share * self.inputs, self.inputs)

    def apply(self, layer, x, bias=None):
        return lut_linear(x, layer.qweight, layer.lookup_table, layer.rows, layer.cols, layer.vals, bias)
