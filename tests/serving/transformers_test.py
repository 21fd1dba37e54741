"""AutoModelForCausalLM.from_pretrained(folder) after `import squeezellm_serving`, against the same model with weights
unpacked here, and against sq-eval.
"""

import shutil
import tempfile
import unittest
from pathlib import Path

import support
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import squeezellm_serving.huggingface

TOKENS = 8  # of each prompt: without the server's batches this is slow


def unpacked(folder):
    """The model as transformers alone runs it, float32, its linear layers' weights unpacked by support.weight_of."""
    config = AutoConfig.from_pretrained(folder)
    del config.quantization_config
    tensors = load_file(folder / "model.safetensors")
    for name in [key.removesuffix(".qweight") for key in tensors if key.endswith(".qweight")]:
        parts = [tensors.pop(f"{name}.{part}") for part in ("qweight", "lookup_table")]
        parts += [tensors.pop(f"{name}.{part}", torch.empty(0)) for part in ("rows", "cols", "vals")]
        tensors[f"{name}.weight"] = support.weight_of(parts).float()
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    missing, unexpected = model.load_state_dict({name: t.float() for name, t in tensors.items()}, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model.eval()


class Transformers(unittest.TestCase):
    def test_logits_and_greedy_tokens(self):
        for name in support.QUANTIZED:
            folder = support.folder(name)
            model, loading = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
            for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
                self.assertEqual(sorted(loading[kind])[:5], [], f"{name}: {kind}")
            packed = [m for m in model.modules() if isinstance(m, squeezellm_serving.huggingface.PackedLinear)]
            self.assertEqual(len(packed), 7 * model.config.num_hidden_layers)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            reference = unpacked(folder)
            equal = 0
            for prompt, expected in zip(support.PROMPTS, support.greedy_by_sq_eval(folder), strict=True):
                ids = tokenizer(prompt, return_tensors="pt")
                with torch.no_grad():
                    logits, wanted = model(**ids).logits, reference(**ids).logits
                difference = float((logits - wanted).abs().max())
                print(f"{name}: {prompt!r}: logits within {difference:.1e}, their range {float(wanted.max() - wanted.min()):.0f}")
                self.assertLess(difference, 1e-3)
                made = model.generate(**ids, max_new_tokens=TOKENS, do_sample=False)[0, ids.input_ids.shape[1]:].tolist()
                self.assertEqual(made, expected[:TOKENS])
                equal += TOKENS
            print(f"{name}: {equal} of {equal} greedy tokens equal to sq-eval's")

    def test_other_dtypes_keep_float32_tables(self):
        model = AutoModelForCausalLM.from_pretrained(support.folder("3-bit, 0.45 %"), dtype=torch.bfloat16)
        layer = model.model.layers[3].mlp.down_proj
        self.assertEqual((layer.lookup_table.dtype, layer.vals.dtype), (torch.float32, torch.float32))
        x = torch.randn(2, layer.in_features, dtype=torch.bfloat16)
        self.assertEqual(layer(x).dtype, torch.bfloat16)

    def test_save_pretrained_keeps_tensors_and_config(self):
        folder = support.folder("3-bit, 0.45 %")
        with tempfile.TemporaryDirectory() as scratch:
            AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(scratch)
            saved, original = (load_file(Path(path) / "model.safetensors") for path in (scratch, folder))
            self.assertEqual(AutoConfig.from_pretrained(scratch).quantization_config["bits"], 3)
        for name, tensor in original.items():
            if not name.endswith("norm.weight") and "embed" not in name:
                self.assertTrue(torch.equal(saved[name], tensor), name)

    def test_says_what_the_checkpoint_lacks(self):
        original = support.folder("3-bit, 0.45 %")
        tensors = load_file(original / "model.safetensors")
        layer = "model.layers.2.self_attn.k_proj"
        beyond = tensors[f"{layer}.cols"] + 10000
        for change, message in (({f"{layer}.qweight": None}, f"{layer}.qweight: missing"),
                                ({f"{layer}.lookup_table": None}, f"{layer}.lookup_table: missing"),
                                ({f"{layer}.vals": None}, f"{layer}.vals: missing"),
                                ({f"{layer}.qweight": torch.zeros(3, 3, dtype=torch.int32)}, f"{layer}: a layer .* does not go"),
                                ({f"{layer}.cols": beyond}, f"{layer}.cols: expected columns")):
            with tempfile.TemporaryDirectory() as scratch, self.subTest(message):
                shutil.copy(original / "config.json", scratch)
                changed = {name: t for name, t in {**tensors, **change}.items() if t is not None}
                save_file(changed, Path(scratch) / "model.safetensors", metadata={"format": "pt"})
                with self.assertRaisesRegex(ValueError, message):
                    AutoModelForCausalLM.from_pretrained(scratch, dtype=torch.float32)


if __name__ == "__main__":
    unittest.main()
