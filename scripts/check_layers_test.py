#!/usr/bin/env python3
"""Tests of check_layers.py: small trees, each with one thing wrong. python3 scripts/check_layers_test.py"""

import tempfile
import unittest
from pathlib import Path

import check_layers


class CheckLayers(unittest.TestCase):
    def found(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return list(check_layers.problems(folder))

    def assert_one(self, files, *parts):
        found = self.found(files)
        self.assertEqual(len(found), 1, found)
        for part in parts:
            self.assertIn(part, found[0])

    def test_accepts_includes_that_go_down(self):
        self.assertEqual(self.found({
            "include/sq/base/error.h": "#include <string>\n",
            "include/sq/quant/kmeans1d.h": '#include "sq/base/error.h"\n',
            "src/quant/kmeans1d.cc": '#include "sq/quant/kmeans1d.h"\n#include "sq/base/error.h"\n',
            "tests/quant/kmeans1d_test.cc": "",
            "tools/sq_quantize.cc": '#include "sq/quant/kmeans1d.h"\n#include "cli.h"\n',
            "tools/cli.h": "",
        }), [])

    def test_refuses_an_upward_include(self):
        self.assert_one({"include/sq/quant/kmeans1d.h": "",
                         "include/sq/base/error.h": '\n#include "sq/quant/kmeans1d.h"\n'},
                        "include/sq/base/error.h:2:", "upward")

    def test_refuses_a_sibling_include_by_any_spelling(self):
        tree = {"kernels/isa.h": "", "include/sq/text/corpus.h": ""}
        for spelling in ('"kernels/isa.h"', '"../../kernels/isa.h"', "<sq/text/corpus.h>"):
            self.assert_one({**tree, "src/quant/x.cc": f"#include {spelling}\n"}, "sibling")

    def test_refuses_libtorch_below_model(self):
        self.assert_one({"src/text/x.cc": "#include <torch/torch.h>\n"}, "LibTorch")
        self.assert_one({"tools/x.cc": " # include <c10/util/Half.h>\n"}, "LibTorch")
        self.assertEqual(self.found({"src/checkpoint/torch_writer.cc": "#include <torch/torch.h>\n",
                                        "src/model/x.cc": "#include <ATen/ATen.h>\n"}), [])

    def test_ignores_a_commented_include(self):
        self.assertEqual(self.found({"include/sq/model/linear.h": "",
                                        "src/base/x.cc": '// #include "sq/model/linear.h"\n'}), [])

    def test_refuses_a_missing_header_and_an_unknown_layer(self):
        self.assert_one({"src/base/x.cc": '#include "sq/base/gone.h"\n'}, "no such file")
        self.assert_one({"src/extra/x.cc": ""}, "src/extra/x.cc", "no layer")
        self.assert_one({"src/base/x.cc": '#include "tests/support/y.h"\n', "tests/support/y.h": ""},
                        "outside the layers")

    def test_umbrella_header_includes_public_headers_of_the_core(self):
        umbrella = "include/sq/squeezellm.h"
        tree = {"include/sq/quant/kmeans1d.h": "", "include/sq/text/corpus.h": "", "kernels/cpu/kernels.h": ""}
        self.assertEqual(self.found({**tree, umbrella: '#include "sq/quant/kmeans1d.h"\n'}), [])
        for other in ("sq/text/corpus.h", "kernels/cpu/kernels.h", "sq/quant/gone.h"):
            self.assert_one({**tree, umbrella: f'\n#include "{other}"\n'}, f"{umbrella}:2:", other)
        # No part of the library includes it.
        self.assert_one({umbrella: "", "src/quant/x.cc": '#include "sq/squeezellm.h"\n'}, "outside the layers")

    def test_wants_a_test_for_each_public_source(self):
        self.assert_one({"src/base/half.cc": "", "include/sq/base/half.h": ""},
                        "tests/base/half_test.cc")
        self.assert_one({"kernels/isa.cc": "", "include/sq/kernels/isa.h": ""},
                        "tests/kernels/isa_test.cc")
        self.assertEqual(self.found({"src/base/private.cc": "", "tools/sq_eval.cc": ""}), [])

    def test_wants_a_reason_for_length(self):
        self.assert_one({"include/sq/base/x.h": "\n" * 151}, "151 lines, over 150")
        self.assert_one({"src/base/x.cc": "\n" * 401}, "401 lines, over 400")
        self.assert_one({"kernels/cpu/x-inl.h": "\n" * 501}, "501 lines, over 500")
        self.assertEqual(self.found({
            "include/sq/base/x.h": "\n" * 150, "kernels/cuda/x.cu": "\n" * 500,
            "src/base/y.cc": "// Long because the table is.\n" + "\n" * 400}), [])

    def test_an_empty_tree_is_an_error(self):
        with self.assertRaises(ValueError):
            self.found({})


if __name__ == "__main__":
    unittest.main()
