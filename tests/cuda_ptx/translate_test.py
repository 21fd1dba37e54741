#!/ usr / bin / env python3
"""Tests of translate.py. python3 tests/cuda_ptx/translate_test.py"""

import unittest

import translate

HEAD = ".version 9.0\n.target sm_90\n.shared .align 8 .b8 sums[12];\n.shared .align 16 .b8 more[4];\n"
NAME = "_ZN2sq4cuda10NormKernelILb1EEEvPKf"


def kernel(body, name=NAME):
    return HEAD + f".visible .entry {name}(\n\t.param .u64 {name}_param_0\n)\n.maxntid 512, 1, 1\n{{\n{body}\n}}\n"


def lines_of(body):
    text = translate.translate("kernels/x.cu", kernel(body))
    return [line for line in text[text.index("void Kernel0"):].split("\n")[1:-4] if line]


class Translate(unittest.TestCase):
    def test_a_file_has_its_source_its_kernels_and_whom_they_replace(self):
        text = translate.translate("kernels/x.cu", kernel("ret;"))
        self.assertTrue(text.startswith('#include "kernels/x.cu"\n'))
        self.assertIn("reinterpret_cast<void (*)()>(&sq::cuda::NormKernel<true>), Kernel0);", text)
        self.assertIn("static_shared[20 + 1]", text)

    def test_names_of_kernels(self):
        self.assertEqual(translate.in_source("_ZN2sq4cuda12_GLOBAL__N_119RopeAndAppendKernelENS0_5CacheE"), "sq::cuda::RopeAndAppendKernel")
        self.assertEqual(translate.in_source("_ZN2sq4cuda14ActivateKernelILNS_10ActivationE2EEEvf"),
                         "sq::cuda::ActivateKernel<(sq::Activation)2>")

    def test_labels_jumps_and_guards(self):
        self.assertEqual(lines_of("$L__BB0_1:\n\t@!%p3 bra \t$L__BB0_1;"), ["l_L__BB0_1:;", "if (!r_p3) { goto l_L__BB0_1; }"])

    def test_blocks_of_inline_assembly(self):
        self.assertEqual(lines_of("{\n.reg .pred p;\nsetp.ne.u32 p, %r1, 0;\n@p mov.b32 %r2, %r3;\n}"),
                         ["{", "bool p;", "{ p = (As<uint32_t>(r_r1) != static_cast<uint32_t>(0ll)); }",
                          "if (p) { Set(r_r2, static_cast<uint32_t>(As<uint32_t>(r_r3))); }", "}"])

    def test_addresses(self):
        load, = lines_of("ld.shared.v2.u32 {%r1, %r2}, [%r3+8];")
        self.assertIn("Aligned(Shared(uint64_t{r_r3} + (8)), 8)", load)
        self.assertIn("Widen(r_r2, Load<uint32_t>(at + 4));", load)
        move, = lines_of("mov.u32 %r1, more;")
        self.assertIn(str(translate.STATIC_SHARED + 16), move)
        parameter, = lines_of(f"ld.param.u64 %rd1, [{NAME}_param_0];")
        self.assertIn("reinterpret_cast<uint64_t>(parameters[0]) + (0)", parameter)

    def test_what_is_not_known_is_named(self):
        for text in ("tanh.approx.f32 %f1, %f2;", "add.rz.f32 %f1, %f2, %f3;", "cvt.rzi.s32.f32 %r1, %f1;", "bar.sync 1;",
                     "setp.lo.u32 %p1, %r1, %r2;", "mov.u32 %r1, elsewhere;", "mov.u32 %r1, %smid;"):
            with self.assertRaises(translate.Unknown, msg=text) as found:
                lines_of(text)
            self.assertTrue(str(found.exception).startswith(text[:-1]), found.exception)


if __name__ == "__main__":
    unittest.main()
