"""squeezellm::lut_linear against double precision, and the sparse part cut and joined against dense slices."""

import unittest

import support
import torch

from squeezellm_serving import lut_linear, outliers

# Half a unit in the last place of what y is rounded to.
ROUNDING = {torch.float32: 0, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}


class LutLinear(unittest.TestCase):
    def setUp(self):
        self.generator = torch.Generator().manual_seed(1)

    def test_agrees_with_double_precision(self):
        for bits in (2, 3, 4):
            for outputs, inputs, sparse in ((65, 96, None), (130, 1056, 0), (130, 1056, 600), (5, 32, 160)):
                layer = support.random_layer(bits, outputs, inputs, sparse, self.generator)
                weight = support.weight_of(layer)
                for bias in (None, torch.randn(outputs, generator=self.generator)):
                    for dtype in ROUNDING:
                        for tokens in (1, 2, 3, 7, 8, 9, 17):
                            x = torch.randn(tokens, inputs, generator=self.generator).to(dtype)
                            self.check(x, layer, weight, bias)

    def check(self, x, layer, weight, bias):
        y = lut_linear(x, *layer, bias)
        self.assertEqual(y.dtype, x.dtype)
        expected = x.double() @ weight.T + (0 if bias is None else bias.double())
        magnitude = x.double().abs() @ weight.abs().T + (0 if bias is None else bias.double().abs())
        # Sums of n + 2 products, fp32 (Higham, Accuracy and Stability, section 3.1); an outlier's place counts twice.
        terms = (2 * x.shape[-1] + 3) * 2.0**-24
        bound = terms / (1 - terms) * magnitude * (1 + 2 * ROUNDING[x.dtype]) + ROUNDING[x.dtype] * expected.abs()
        if layer[-1].numel():
            # |table| + |outlier| may be more than |their sum|, which the magnitude has.
            bound += terms * x.double().abs() @ (support.weight_of((*layer[:2], *[t[:0] for t in layer[2:]])).abs() +
                                                 support.dense(*layer[2:], weight.shape).abs()).T
        excess = ((y.double() - expected).abs() - bound).max()
        self.assertLessEqual(excess, 0, f"{x.shape} {x.dtype} {layer[1].shape} {layer[-1].numel()} outliers")

    def test_takes_any_leading_shape_and_strides(self):
        layer = support.random_layer(4, 40, 64, 30, self.generator)
        x = torch.randn(64, 3, 2, generator=self.generator).permute(2, 1, 0)
        y = lut_linear(x, *layer)
        self.assertEqual(y.shape, (2, 3, 40))
        self.assertTrue(torch.equal(y.reshape(6, 40), lut_linear(x.reshape(6, 64).contiguous(), *layer)))
        self.assertEqual(lut_linear(x[:0], *layer).shape, (0, 3, 40))
        self.assertEqual(lut_linear(x[0, 0], *layer).shape, (40,))

    def test_gives_the_same_bits_for_any_thread_count(self):
        layer = support.random_layer(3, 300, 1056, 600, self.generator)
        threads = torch.get_num_threads()
        self.addCleanup(torch.set_num_threads, threads)
        for tokens in (1, 7):  # more go through torch's matrix product, whose sums depend on its threads
            x = torch.randn(tokens, 1056, generator=self.generator)
            results = []
            for count in (1, 2, 3):
                torch.set_num_threads(count)
                results.append(lut_linear(x, *layer))
            self.assertTrue(torch.equal(results[0], results[1]) and torch.equal(results[0], results[2]))

    def test_its_fake_is_true(self):
        layer = support.random_layer(3, 40, 64, 30, self.generator)
        for x in (torch.randn(3, 64), torch.randn(2, 9, 64).bfloat16()):
            torch.library.opcheck(lut_linear.default, (x, *layer), test_utils=("test_schema", "test_faketensor"))
        compiled = torch.compile(lambda x: lut_linear(x, *layer) + 1, fullgraph=True, backend="aot_eager")
        x = torch.randn(3, 64)
        self.assertTrue(torch.equal(compiled(x), lut_linear(x, *layer) + 1))

    def test_says_what_does_not_go_together(self):
        qweight, table, *csr = support.random_layer(3, 40, 64, 30, self.generator)
        x = torch.randn(2, 64)
        for arguments, message in (((x[:, :32], qweight, table, *csr), r"qweight: expected .*\[3, 40\], found"),
                                   ((x, qweight.T, table, *csr), "qweight"),
                                   ((x, qweight.long(), table, *csr), "qweight.*found Long"),
                                   ((x, qweight, table[:39], *csr), "lookup_table: expected"),
                                   ((x, qweight, table[:, :5], *csr), "tables of 4, 8 or 16 entries"),
                                   ((x, qweight, table, csr[0][1:], *csr[1:]), "rows: expected"),
                                   ((x, qweight, table, *csr[:1], csr[1][1:], csr[2]), "cols: expected"),
                                   ((x, qweight, table, *csr, torch.zeros(39)), "bias: expected"),
                                   ((x.long(), qweight, table, *csr), "x: expected floats")):
            with self.subTest(message), self.assertRaisesRegex(RuntimeError, message):
                lut_linear(*arguments)


class Outliers(unittest.TestCase):
    def setUp(self):
        generator = torch.Generator().manual_seed(2)
        self.csr = support.random_layer(3, 30, 96, 200, generator)[2:]
        self.dense = support.dense(*self.csr, (30, 96))

    def test_taken_parts_are_those_of_the_matrix(self):
        for first, count in ((0, 30), (0, 10), (10, 10), (29, 1), (7, 0)):
            part = outliers.take_outputs(self.csr, first, count)
            outliers.check(part, count, 96, "part")
            self.assertTrue(torch.equal(support.dense(*part, (count, 96)), self.dense[first:first + count]))
        for first, count in ((0, 96), (0, 32), (32, 32), (64, 32)):
            part = outliers.take_inputs(self.csr, first, count)
            outliers.check(part, 30, count, "part")
            self.assertTrue(torch.equal(support.dense(*part, (30, count)), self.dense[:, first:first + count]))

    def test_joined_parts_lie_on_top_of_each_other(self):
        other = support.random_layer(3, 7, 96, 5, torch.Generator().manual_seed(3))[2:]
        joined = outliers.join([self.csr, outliers.empty(), other], [30, 4, 7])
        outliers.check(joined, 41, 96, "joined")
        expected = torch.cat([self.dense, torch.zeros(4, 96), support.dense(*other, (7, 96))])
        self.assertTrue(torch.equal(support.dense(*joined, (41, 96)), expected))
        self.assertEqual([t.numel() for t in outliers.join([outliers.empty()] * 2, [3, 4])], [0, 0, 0])

    def test_what_the_operator_must_not_read_is_refused(self):
        rows, cols, vals = self.csr
        outliers.check(self.csr, 30, 96, "layer")
        outliers.check(outliers.empty(), 30, 96, "layer")
        falls = rows.clone()
        falls[3] = rows[-1] + 1
        beyond = cols.clone()
        beyond[-1] = 96
        for csr, message in (((rows[1:], cols, vals), r"expected rows \[31\]"), ((rows, cols[1:], vals), "as many cols"),
                             ((falls, cols, vals), "expected to rise"), ((rows, beyond, vals), r"columns of \[0, 96\)"),
                             ((rows, -1 - cols, vals), "columns of")):
            with self.subTest(message), self.assertRaisesRegex(ValueError, "layer.*" + message):
                outliers.check(csr, 30, 96, "layer")


if __name__ == "__main__":
    unittest.main()
