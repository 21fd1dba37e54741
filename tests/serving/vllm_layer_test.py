"""The vLLM method on single layers, no engine: what each rank of tensor parallelism holds, against slices of the whole
matrix, and what is said of checkpoints that lack something.
"""

import unittest

import support
import torch
from vllm.model_executor.layers.linear import (ColumnParallelLinear, MergedColumnParallelLinear, QKVParallelLinear,
                                               ReplicatedLinear, RowParallelLinear)

from squeezellm_serving.vllm_method import SqueezeLLMConfig, SqueezeLLMLinearMethod

NAMES = ("qweight", "lookup_table", "rows", "cols", "vals")


def layer_of(kind, rank, ranks, replicas=1):
    """A vLLM layer without the distributed set-up that its own constructor asks for."""
    layer = kind.__new__(kind)
    torch.nn.Module.__init__(layer)
    layer.tp_rank, layer.tp_size, layer.num_kv_head_replicas = rank, ranks, replicas
    return layer


def create(layer, bits, inputs, parts):
    method = SqueezeLLMLinearMethod(bits, "model.layers.0.linear")
    method.create_weights(layer, inputs, parts, inputs, sum(parts), torch.float32, weight_loader=None)
    return method


def load(layer, tensors, shard=None, without=()):
    for name, tensor in zip(NAMES, tensors, strict=True):
        if tensor.numel() and name not in without:
            parameter = getattr(layer, name)
            parameter.weight_loader(parameter, tensor, *([] if shard is None else [shard]))


class Layers(unittest.TestCase):
    def setUp(self):
        self.generator = torch.Generator().manual_seed(4)

    def packed(self, bits, outputs, inputs, outliers=100):
        return support.random_layer(bits, outputs, inputs, outliers, self.generator)

    def check(self, layer, method, expected):
        method.process_weights_after_loading(layer)
        weight = support.weight_of([getattr(layer, name) for name in NAMES])
        self.assertTrue(torch.equal(weight, expected))
        x = torch.randn(3, weight.shape[1], generator=self.generator)
        bias = torch.randn(weight.shape[0], generator=self.generator)
        torch.testing.assert_close(method.apply(layer, x, bias).double(), x.double() @ weight.T + bias.double(),
                                   rtol=0, atol=1e-3)

    def test_column_parallel(self):
        for bits in (3, 4):
            whole = self.packed(bits, 60, 96)
            for rank in range(3):
                layer = layer_of(ColumnParallelLinear, rank, 3)
                method = create(layer, bits, 96, [20])
                load(layer, whole)
                self.check(layer, method, support.weight_of(whole)[20 * rank:20 * rank + 20])

    def test_row_parallel(self):
        for bits in (3, 4):
            whole = self.packed(bits, 20, 192)
            for rank in range(3):
                layer = layer_of(RowParallelLinear, rank, 3)
                method = create(layer, bits, 64, [20])
                load(layer, whole)
                self.check(layer, method, support.weight_of(whole)[:, 64 * rank:64 * rank + 64])

    def test_replicated(self):
        whole = self.packed(3, 20, 96)
        layer = layer_of(ReplicatedLinear, 1, 2)
        method = create(layer, 3, 96, [20])
        load(layer, whole)
        self.check(layer, method, support.weight_of(whole))

    def test_merged_parts_of_which_one_has_no_outliers(self):
        gate, up = self.packed(3, 40, 96), self.packed(3, 40, 96, None)
        for rank in range(2):
            layer = layer_of(MergedColumnParallelLinear, rank, 2)
            method = create(layer, 3, 96, [20, 20])
            load(layer, up, 1)
            load(layer, gate, 0)
            part = slice(20 * rank, 20 * rank + 20)
            self.check(layer, method, torch.cat([support.weight_of(gate)[part], support.weight_of(up)[part]]))

    def test_kv_heads_shared_by_ranks(self):
        q, k, v = self.packed(4, 64, 96), self.packed(4, 16, 96), self.packed(4, 16, 96)
        for rank in range(4):  # two kv heads of 8: each on two ranks
            layer = layer_of(QKVParallelLinear, rank, 4, replicas=2)
            method = create(layer, 4, 96, [16, 8, 8])
            for shard, tensors in (("q", q), ("k", k), ("v", v)):
                load(layer, tensors, shard)
            kv = slice(8 * (rank // 2), 8 * (rank // 2) + 8)
            self.check(layer, method, torch.cat([support.weight_of(q)[16 * rank:16 * rank + 16],
                                                 support.weight_of(k)[kv], support.weight_of(v)[kv]]))

    def test_startrows_are_let_pass(self):
        layer = layer_of(ColumnParallelLinear, 0, 1)
        create(layer, 3, 96, [20])
        layer.startrows.weight_loader(layer.startrows, torch.zeros(128, dtype=torch.int32))

    def test_says_what_is_missing_or_misshapen(self):
        parts = {"q": self.packed(4, 32, 96), "k": self.packed(4, 8, 96), "v": self.packed(4, 8, 96)}
        for missing, message in (("qweight", r"linear.qweight: missing in the checkpoint: found parts \[0, 1\] of \[0, 1, 2\]"),
                                 ("lookup_table", "linear.lookup_table: missing"), ("vals", "linear.vals: missing")):
            layer = layer_of(QKVParallelLinear, 0, 1)
            method = create(layer, 4, 96, [32, 8, 8])
            for shard, tensors in parts.items():
                load(layer, tensors, shard, without=[missing] if shard == "v" else [])
            with self.subTest(missing), self.assertRaisesRegex(ValueError, message):
                method.process_weights_after_loading(layer)
        layer = layer_of(ColumnParallelLinear, 0, 1)
        create(layer, 3, 96, [32])
        with self.assertRaisesRegex(ValueError, r"linear.qweight: expected \[9, 32\] at 3 bits, found \[12, 32\]"):
            load(layer, parts["q"])
        layer = layer_of(QKVParallelLinear, 0, 1)
        create(layer, 4, 96, [32, 8, 8])
        with self.assertRaisesRegex(ValueError, "is one tensor on disk"):
            load(layer, parts["q"])
        with self.assertRaisesRegex(ValueError, "multiple of 32 inputs for each rank"):
            create(layer_of(RowParallelLinear, 0, 2), 4, 48, [32])

    def test_outliers_that_the_operator_must_not_read_are_refused(self):
        qweight, table, rows, cols, vals = self.packed(3, 20, 96)
        layer = layer_of(ColumnParallelLinear, 0, 1)
        method = create(layer, 3, 96, [20])
        load(layer, (qweight, table, rows, cols + 96, vals))
        with self.assertRaisesRegex(ValueError, r"columns of \[0, 96\)"):
            method.process_weights_after_loading(layer)


class Config(unittest.TestCase):
    def test_reads_both_spellings_and_refuses_other_widths(self):
        config = SqueezeLLMConfig.from_config({"bits": 3, "modules_to_not_convert": ["lm_head"], "outlier_fraction": 0.1})
        self.assertEqual((config.bits, config.modules_to_not_convert), (3, ("lm_head",)))
        self.assertEqual(SqueezeLLMConfig.from_config({"wbits": 4}).bits, 4)
        with self.assertRaisesRegex(ValueError, "expected 2, 3 or 4, found 8"):
            SqueezeLLMConfig.from_config({"bits": 8})
        with self.assertRaisesRegex(ValueError, "bits"):
            SqueezeLLMConfig.from_config({})


if __name__ == "__main__":
    unittest.main()
