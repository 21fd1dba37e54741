"""The arithmetic of scripts/baselines/baselines.py: what it counts, its round to nearest, its shuffled channels."""

import os
import subprocess
import sys
import types
import unittest

try:
    import numpy as np
except ImportError:
    np = None
    debian = "/usr/bin/python3"  # has Debian's numpy, where that is installed
    if sys.executable != debian and os.path.exists(debian):
        if subprocess.run([debian, "-c", "import numpy"], stderr=subprocess.DEVNULL).returncode == 0:
            os.execv(debian, [debian, *sys.argv])

sys.path.insert(0, os.path.join(os.environ["SQ_SOURCE"], "scripts", "baselines"))
if np:
    import baseline_methods as methods
    import shuffle_channels


def packed_bits(codes, scales, zeros, bits):
    """Counted by writing the codes down: strings of 0 and 1."""
    text = "".join(format(int(code), f"0{bits}b") for code in [*codes.ravel(), *zeros.ravel()])
    return len(text) + 8 * scales.astype(np.float16).nbytes


@unittest.skipUnless(np, "numpy is missing")
class RoundToNearest(unittest.TestCase):
    def setUp(self):
        random = np.random.default_rng(1)
        self.weight = (random.standard_normal((6, 96)) * 0.05).astype(np.float16)

    def test_takes_the_nearest_of_all_values_that_it_can_store(self):
        for bits in (3, 4):
            for group in (32, 96):
                found = methods.round_to_nearest(self.weight, bits, group).reshape(-1, group)
                for row, values in zip(found, self.weight.astype(np.float64).reshape(-1, group)):
                    self.assertLessEqual(len(set(row)), 2 ** bits)
                    top = 2 ** bits - 1
                    scale = float(np.float16((max(values.max(), 0) - min(values.min(), 0)) / top))
                    zero = min(max(round(-min(values.min(), 0) / scale), 0), top)
                    grid = [(code - zero) * scale for code in range(top + 1)]
                    for value, got in zip(values, row):
                        best = min(abs(value - point) for point in grid)
                        self.assertAlmostEqual(abs(value - got), best, delta=1e-6)

    def test_keeps_zero_and_constant_rows(self):
        weight = np.array([[0.0] * 32, [0.25] * 32, [-0.5] * 32, [0.0, 1.0] * 16], np.float16)
        found = methods.round_to_nearest(weight, 3, 32)
        self.assertTrue((found[weight == 0] == 0).all())
        np.testing.assert_allclose(found, weight, rtol=1e-3)

    def test_error_is_within_half_a_step_and_a_step_at_the_ends(self):
        weight = self.weight.astype(np.float32)
        span = weight.max(1, keepdims=True) - weight.min(1, keepdims=True)
        error = np.abs(methods.round_to_nearest(self.weight, 4, 96) - weight)
        self.assertTrue((error <= span / 15 * 1.01).all())
        self.assertLess(np.median(error / span), 0.5 / 15)

    def test_refuses_groups_that_do_not_divide_a_row(self):
        with self.assertRaisesRegex(ValueError, "96 weights do not divide into groups of 64"):
            methods.round_to_nearest(self.weight, 4, 64)


@unittest.skipUnless(np, "numpy is missing")
class Bits(unittest.TestCase):
    def test_counts_codes_scales_and_zero_points(self):
        for bits in (3, 4):
            for group in (64, 576):
                shape = (10, 576)
                groups = (10, 576 // group)
                expected = packed_bits(np.zeros(shape), np.zeros(groups), np.zeros(groups), bits)
                self.assertEqual(methods.grid_bits(shape, bits, group), expected)

    def test_known_figures(self):
        self.assertEqual(methods.grid_bits((8, 128), 4, 128) / (8 * 128), 4 + 20 / 128)
        self.assertEqual(methods.grid_bits((8, 576), 3, 64) / (8 * 576), 3 + 19 / 64)

    def test_rtn_counts_the_linear_layers_alone(self):
        ones = np.ones((4, 64), np.float16)
        model = methods.Model(None, {}, {"model.embed_tokens.weight": ones, "model.norm.weight": ones[0],
                                         "model.layers.0.mlp.up_proj.weight": ones}, None, None)
        layers, stored = methods.rtn(model, 4)
        self.assertEqual(list(layers), ["model.layers.0.mlp.up_proj.weight"])
        self.assertEqual(stored, 4 * 64 * 4 + 4 * 20)


@unittest.skipUnless(np, "numpy is missing")
class Names(unittest.TestCase):
    def test_of_gguf(self):
        sys.modules.setdefault("gguf", types.ModuleType("gguf"))  # which the names do not need
        for ours, theirs in (("model.embed_tokens.weight", "token_embd.weight"),
                             ("model.norm.weight", "output_norm.weight"),
                             ("model.layers.7.input_layernorm.weight", "blk.7.attn_norm.weight"),
                             ("model.layers.12.self_attn.o_proj.weight", "blk.12.attn_output.weight"),
                             ("model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight")):
            self.assertEqual(methods.gguf_name(ours), theirs)


CONFIG = {"hidden_size": 24, "intermediate_size": 40, "num_attention_heads": 6,
          "num_key_value_heads": 2, "head_dim": 4, "num_hidden_layers": 2}


def random_weights():
    random = np.random.default_rng(3)
    shapes = {"model.embed_tokens": (11, 24), "model.norm": (24,), "lm_head": (11, 24)}
    for layer in range(2):
        shapes.update({f"model.layers.{layer}.{name}": shape for name, shape in {
            "input_layernorm": (24,), "post_attention_layernorm": (24,),
            "self_attn.q_proj": (24, 24), "self_attn.k_proj": (8, 24), "self_attn.v_proj": (8, 24),
            "self_attn.o_proj": (24, 24), "mlp.gate_proj": (40, 24), "mlp.up_proj": (40, 24),
            "mlp.down_proj": (24, 40)}.items()})
    return {f"{name}.weight": random.standard_normal(shape) for name, shape in shapes.items()}


def logits(weights, tokens):
    """LLaMA in plain numpy, double precision. weights: HF names; tokens: [n] -> [n][vocabulary]."""
    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * weights[f"{name}.weight"]

    def rotated(x):  # [n][4], positions 0 .. n-1
        angles = np.outer(np.arange(len(x)), 100.0 ** -np.array([0, 0.5]))
        real, imaginary = x[:, :2], x[:, 2:]
        return np.concatenate([real * np.cos(angles) - imaginary * np.sin(angles),
                               imaginary * np.cos(angles) + real * np.sin(angles)], axis=1)

    x = weights["model.embed_tokens.weight"][tokens]
    for layer in range(2):
        prefix = f"model.layers.{layer}."
        matrix = {name: weights[f"{prefix}{part}.{name}_proj.weight"].T for part, names in (
            ("self_attn", "qkvo"), ("mlp", ("gate", "up", "down"))) for name in names}
        y = norm(x, prefix + "input_layernorm")
        heads = []
        for head in range(6):
            group = slice(head // 3 * 4, head // 3 * 4 + 4)
            query = rotated((y @ matrix["q"])[:, head * 4:head * 4 + 4])
            scores = query @ rotated((y @ matrix["k"])[:, group]).T / 2
            scores[np.triu_indices(len(x), 1)] = -np.inf
            share = np.exp(scores - scores.max(1, keepdims=True))
            heads.append(share / share.sum(1, keepdims=True) @ (y @ matrix["v"])[:, group])
        x = x + np.concatenate(heads, axis=1) @ matrix["o"]
        y = norm(x, prefix + "post_attention_layernorm")
        gate = y @ matrix["gate"]
        x = x + (gate / (1 + np.exp(-gate)) * (y @ matrix["up"])) @ matrix["down"]
    return norm(x, "model.norm") @ weights["lm_head.weight"].T


@unittest.skipUnless(np, "numpy is missing")
class ShuffledChannels(unittest.TestCase):
    def test_compute_the_same_function(self):
        weights = random_weights()
        tokens = [3, 1, 4, 1, 5, 9, 2, 6]
        expected = logits(weights, tokens)
        found = logits(shuffle_channels.shuffled(weights, CONFIG, 0), tokens)
        np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())

    def test_every_row_of_a_linear_layer_has_the_same_weights_in_another_order(self):
        weights = random_weights()
        other = shuffle_channels.shuffled(weights, CONFIG, 0)
        self.assertEqual(weights.keys(), other.keys())
        for name in filter(methods.is_linear, weights):
            before, after = (np.sort(x[name], axis=1)[np.sort(x[name], axis=1)[:, 0].argsort()]
                             for x in (weights, other))
            np.testing.assert_array_equal(before, after)
            self.assertGreater((weights[name] != other[name]).mean(), 0.5, name)


if __name__ == "__main__":
    unittest.main()
