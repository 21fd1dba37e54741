"""transformers: AutoModelForCausalLM.from_pretrained(folder) for folders whose quant_method is "squeezellm"."""

import torch
from safetensors import safe_open
from transformers.quantizers import auto
from transformers.quantizers.base import HfQuantizer
from transformers.quantizers.quantizers_utils import should_convert_module
from transformers.utils.quantization_config import QuantizationConfigMixin

from squeezellm_serving import outliers
from squeezellm_serving.op import lut_linear

METHOD = "squeezellm"
REQUIRED, SPARSE = ("qweight", "lookup_table"), ("rows", "cols", "vals")
DTYPES = {"qweight": torch.int32, "rows": torch.int32, "cols": torch.int32}  # the others: float32


class PackedLinear(torch.nn.Module):
    """A linear layer by its tensors as stored. `shapes`: those that the checkpoint has, by name."""

    def __init__(self, in_features, out_features, shapes):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        for name in REQUIRED + SPARSE:
            tensor = torch.empty(shapes.get(name, 0), dtype=DTYPES.get(name, torch.float32))
            self.register_buffer(name, tensor, persistent=name in shapes)
        self.register_buffer("bias", torch.empty(shapes["bias"]) if "bias" in shapes else None)

    def forward(self, x):
        return lut_linear(x, self.qweight, self.lookup_table, self.rows, self.cols, self.vals, self.bias)

    def extra_repr(self):
        return (f"in_features={self.in_features}, out_features={self.out_features}, "
                f"entries={self.lookup_table.shape[1]}, outliers={self.vals.numel()}")


class SqueezeLLMConfig(QuantizationConfigMixin):
    def __init__(self, bits=None, modules_to_not_convert=None, **described):
        self.quant_method = METHOD
        self.bits = bits
        self.modules_to_not_convert = modules_to_not_convert
        for key, value in described.items():  # of how the model was made: kept, not used
            setattr(self, key, value)


class SqueezeLLMQuantizer(HfQuantizer):
    requires_calibration = True

    def validate_environment(self, device_map=None, **kwargs):
        devices = device_map.values() if isinstance(device_map, dict) else [device_map]
        for device in devices:
            if device not in (None, "auto") and torch.device(device).type != "cpu":
                raise ValueError(f"squeezellm: the operator runs on CPUs alone, device_map asks for {device}")

    def _process_model_before_weight_loading(self, model, checkpoint_files=None, **kwargs):
        shapes = _stored_shapes(checkpoint_files or [])
        skipped = self.get_modules_to_not_convert(model, self.quantization_config.modules_to_not_convert,
                                                  model._keep_in_fp32_modules, add_default_skips=True)
        for name, module in list(model.named_modules()):
            if not isinstance(module, torch.nn.Linear) or not should_convert_module(name, skipped):
                continue
            with torch.device("meta"):
                model.set_submodule(name, _packed(module, name, shapes, model.base_model_prefix))
        ignored = set(model._keys_to_ignore_on_load_unexpected or ())
        model._keys_to_ignore_on_load_unexpected = ignored | {r"\.startrows$"}  # the original's, for its kernels

    def _process_model_after_weight_loading(self, model, **kwargs):
        for name, module in model.named_modules():
            if isinstance(module, PackedLinear):
                outliers.check((module.rows, module.cols, module.vals), module.out_features, module.in_features, name)
        return model

    @property
    def is_trainable(self):
        return False

    def is_serializable(self):
        return True


def _stored_shapes(files):
    shapes = {}
    for path in files:
        if not str(path).endswith(".safetensors"):
            raise ValueError(f"{path}: expected a .safetensors file; `sq-pack import` makes a folder of a .pt file")
        with safe_open(path, framework="pt") as file:
            shapes.update((key, file.get_slice(key).get_shape()) for key in file.keys())
    return shapes


def _packed(linear, name, shapes, prefix):
    """The module that takes the place of `linear`, or ValueError when the checkpoint lacks a tensor of it."""
    stored = name if f"{name}.qweight" in shapes else f"{prefix}.{name}"  # a base model's names lack the prefix
    if f"{stored}.qweight" not in shapes:
        raise ValueError(f"{name}.qweight: missing in the checkpoint")
    parts = REQUIRED + (SPARSE if f"{stored}.rows" in shapes else ()) + (("bias",) if linear.bias is not None else ())
    for part in parts:
        if f"{stored}.{part}" not in shapes:
            raise ValueError(f"{name}.{part}: missing in the checkpoint")
    own = {part: shapes[f"{stored}.{part}"] for part in parts}
    bits = {4: 2, 8: 3, 16: 4}.get(own["lookup_table"][-1])
    expected = bits and [linear.in_features // 32 * bits, linear.out_features]
    if own["lookup_table"][0] != linear.out_features or own["qweight"] != expected:
        raise ValueError(f"{name}: a layer [{linear.out_features}, {linear.in_features}] does not go with qweight "
                         f"{own['qweight']} and lookup_table {own['lookup_table']}")
    return PackedLinear(linear.in_features, linear.out_features, own)


def register():
    if METHOD not in auto.AUTO_QUANTIZER_MAPPING:
        auto.register_quantization_config(METHOD)(SqueezeLLMConfig)
        auto.register_quantizer(METHOD)(SqueezeLLMQuantizer)
