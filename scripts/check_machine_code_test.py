#!/usr/bin/env python3
"""Tests of check_machine_code.py on listings made up here. python3 scripts/check_machine_code_test.py"""

import unittest

import check_machine_code

NAME = "_ZN2sq4cuda13LutGemvKernelILi4ELi1ELi1ELi16EEEvNS0_13GemvArgumentsE"


def listing(loop, before=("MOV R1, R2",), name=NAME):
    """cuobjdump's text of a function: `before`, then a loop over `loop`."""
    body = list(before) + list(loop) + [f"@P0 BRA {hex(16 * len(before))}", "EXIT"]
    lines = ["\tcode for sm_90", f"\t\tFunction : {name}"]
    for i, instruction in enumerate(body):
        lines += [f"        /*{16 * i:04x}*/                   {instruction} ;   /* 0x0 */", "    /* 0x1 */"]
    return "\n".join(lines)


# One product, 8 weights a lane: 11 instructions with the jump and a load.
LOOP = ["LDG.E.NA.128.CONSTANT R4, desc[UR8][R2.64]"] + ["PRMT R1, R2, 0x5504, R3"] * 4 + ["LDS R1, [R1+0x400]"] * 4 + [
    "HMMA.16816.F32 R24, R56, R48, R24"]


def found(text):
    (name, instructions), = check_machine_code.parse(text).items()
    return name[0], check_machine_code.count(name[1], instructions)


class CheckMachineCode(unittest.TestCase):
    def test_counts_a_loop(self):
        architecture, counts = found(listing(LOOP, before=["MOV R1, R2", "PRMT R1, R2, R3, R4"]))
        self.assertEqual(architecture, "sm_90")
        self.assertEqual([counts[name] for name in ("bits", "tokens", "tiles", "warps")], [4, 1, 1, 16])
        self.assertAlmostEqual(counts["instructions"], 11 / 8)
        self.assertAlmostEqual(counts["alu"], 4 / 8)
        self.assertAlmostEqual(counts["shared_reads"], 4 / 8)
        self.assertEqual(list(check_machine_code.problems(architecture, counts)), [])

    def test_names_a_loop_that_grew(self):
        problem, = check_machine_code.problems(*found(listing(LOOP + ["IADD3 R1, R1, R2, RZ"] * 8)))
        self.assertIn("4 bits, 1 tokens, 1 tiles, 16 warps: 2.38 instructions per weight, over", problem)

    def test_names_narrow_loads(self):
        problem, = check_machine_code.problems(*found(listing([LOOP[0].replace(".128", "")] + LOOP[1:])))
        self.assertIn("narrower than 128 bits", problem)

    def test_names_spills(self):
        problem, = check_machine_code.problems(*found(listing(LOOP + ["STL [R1], R2", "@!P1 LDL R2, [R1]"])))
        self.assertIn("2 loads and stores of spilled registers in the main loop", problem)

    def test_counts_spills_outside_the_loop(self):
        architecture, counts = found(listing(LOOP, before=["MOV R1, R2", "STL [R1], R2"]))
        self.assertEqual((counts["spilled"], counts["spilled_anywhere"]), (0, 1))
        self.assertEqual(list(check_machine_code.problems(architecture, counts)), [])

    def test_counts_octets_apart(self):
        octet = ["LDS.64 R8, [R7]", "HMMA.1688.F32 R24, R56, R48, R24", "@P1 BRA 0xd0"]
        architecture, counts = found(listing(LOOP + ["NOP", "NOP"] + octet))
        self.assertEqual(counts["octet"], 3)
        self.assertAlmostEqual(counts["instructions"], 13 / 8)
        self.assertEqual(list(check_machine_code.problems(architecture, counts)), [])

    def test_names_narrow_loads_of_octets(self):
        octet = ["LDG.E.64 R8, [R7]", "HMMA.1688.F32 R24, R56, R48, R24", "@P1 BRA 0xd0"]
        problem, = check_machine_code.problems(*found(listing(LOOP + ["NOP", "NOP"] + octet)))
        self.assertIn("narrower than 128 bits", problem)

    def test_attention_asks_for_all_before_it_waits(self):
        def problems(*body):
            text = listing(body, name="_ZN2sq4cuda12AttendKernelILi1ELi2EEEvNS1_9ArgumentsE")
            (name, instructions), = check_machine_code.parse(text).items()
            return list(check_machine_code.attention_problems(*name, instructions))
        load = "@!P1 LDG.E.128 R68, desc[UR6][R78.64]"
        self.assertEqual(problems(*[load] * 16), [])
        self.assertIn("15 loads at once, expected 16", problems(*[load] * 15, "LDG.E R1, [R2.64]")[0])
        # One jumped over: it may not be asked for together with those before.
        self.assertIn("10 loads at once", problems(*[load] * 10, "@P1 BRA 0xd0", *[load] * 8)[0])

    def test_knows_other_kernels(self):
        self.assertIsNone(found(listing(LOOP, name="_ZN2sq4cuda16DequantizeKernelE"))[1])

    def test_wants_a_loop(self):
        with self.assertRaisesRegex(ValueError, "no loop"):
            found(listing(["MOV R1, R2"]))


if __name__ == "__main__":
    unittest.main()
