#!/usr/bin/env python3
"""Tests of check_machine_code.py on listings made up here. python3 scripts/check_machine_code_test.py"""

import unittest

import check_machine_code

NAME = "_ZN2sq4cuda13LutGemvKernelILi4ELi1ELi16ELb1ELb0EEEvNS0_13GemvArgumentsE"


def listing(loop, before=("MOV R1, R2",), name=NAME):
    """cuobjdump's text of a function: `before`, then a loop over `loop`."""
    body = list(before) + list(loop) + [f"@P0 BRA {hex(16 * len(before))}", "EXIT"]
    lines = ["\tcode for sm_90", f"\t\tFunction : {name}"]
    for i, instruction in enumerate(body):
        lines += [f"        /*{16 * i:04x}*/                   {instruction} ;   /* 0x0 */", "    /* 0x1 */"]
    return "\n".join(lines)


# A unit of 8 groups, 4 products each, 256 weights a lane: with what comes before and the jump 395 instructions.
PRODUCT = ["PRMT R1, R2, 0x5504, R3"] * 4 + ["LDS R1, [R1+0x400]"] * 4 + ["SEL R12, R32, RZ, !P4"] * 2 + [
    "HMMA.16816.F32 R24, R56, R48, R24"]
GROUP = ["DEPBAR.LE SB0, 0x7", "LDS.128 R4, [R3]", "LDS.64 R6, [R3]"] + PRODUCT * 4 + [
    "@P2 LDGSTS.E.BYPASS.128 [R3], desc[UR8][R2.64]", "LDGDEPBAR"]
LOOP = ["@P1 LDG.E.128 R4, desc[UR8][R2.64]", "STS.128 [R3], R4"] + GROUP * 8
INSTRUCTIONS = len(LOOP) + 1
PACK_AT = hex(16 * (1 + len(LOOP) + 2))  # behind the first of a listing, a loop and two more


def found(text):
    (name, instructions), = check_machine_code.parse(text).items()
    return name[0], check_machine_code.count(name[1], instructions)


class CheckMachineCode(unittest.TestCase):
    def test_counts_a_loop(self):
        architecture, counts = found(listing(LOOP, before=["MOV R1, R2", "PRMT R1, R2, R3, R4"]))
        self.assertEqual(architecture, "sm_90")
        self.assertEqual([counts[name] for name in ("bits", "tokens", "warps", "lanes")], [4, 1, 16, "rows"])
        self.assertEqual(INSTRUCTIONS, 395)
        self.assertAlmostEqual(counts["instructions"], 395 / 256)
        self.assertAlmostEqual(counts["alu"], 8 * 4 * 6 / 256)
        self.assertAlmostEqual(counts["shared"], (4 + 4 + 8 * (4 + 2 + 16 + 4)) / 256)
        self.assertEqual(list(check_machine_code.problems(architecture, counts)), [])

    def test_names_a_loop_that_grew(self):
        problem, = check_machine_code.problems(*found(listing(LOOP + ["IADD3 R1, R1, R2, RZ"] * 300)))
        self.assertIn("4 bits, 1 tokens, 16 warps, lanes of rows: 2.71 instructions per weight, over", problem)

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

    def test_counts_spills_off_the_way(self):
        off = LOOP + [f"@!P1 BRA {hex(16 * (1 + len(LOOP) + 3))}", "LDL R2, [R1]", "NOP"]
        architecture, counts = found(listing(off))
        self.assertEqual((counts["spilled"], counts["spilled_anywhere"]), (0, 1))
        self.assertEqual(list(check_machine_code.problems(architecture, counts)), [])

    def test_counts_the_ways_without_outliers_and_with(self):
        pack = ["SHFL.IDX PT, R1, R2, R3, 0x1f", "IADD3 R1, R1, R2, RZ", "LDS.U16 R8, [R7]", "HMMA.1688.F32 R24, R56, R48, R24",
                f"@P1 BRA {hex(16 * (1 + len(LOOP) + 3))}"]
        skipped = f"@!P1 BRA {hex(16 * (1 + len(LOOP) + 1 + len(pack)))}"
        architecture, counts = found(listing(LOOP + [skipped] + pack))
        self.assertEqual(counts["outlier_block"], 3)
        self.assertAlmostEqual(counts["instructions"], (INSTRUCTIONS + 1) / 256)
        self.assertAlmostEqual(counts["with_outliers"], (INSTRUCTIONS + 3) / 256)
        self.assertEqual(list(check_machine_code.problems(architecture, counts)), [])

    def test_goes_by_the_staging_of_x(self):
        jumped_over = ["@!P1 BRA 0x40"] + LOOP
        self.assertAlmostEqual(found(listing(jumped_over))[1]["instructions"], (INSTRUCTIONS + 1) / 256)

    def test_names_a_wait_for_what_was_just_asked_for(self):
        late = [each.replace("0x7", "0x0") if each.startswith("DEPBAR") else each for each in LOOP]
        problem, = check_machine_code.problems(*found(listing(late)))
        self.assertIn("waits for all but the last [0, 0, 0, 0, 0, 0, 0, 0] copies, expected [7, 7, 7, 7, 7, 7, 7, 7]", problem)

    def test_names_codes_that_pass_through_registers(self):
        through = [each.replace("LDGSTS.E.BYPASS.128 [R3]", "LDG.E.128 R3") for each in LOOP]
        problem, = check_machine_code.problems(*found(listing(through)))
        self.assertIn("0 copies of indices to shared memory a K-tile, expected 8", problem)

    def test_names_a_pack_that_costs_too_much(self):
        pack = ["LDS.U16 R8, [R7]", "HMMA.1688.F32 R24, R56, R48, R24"] + ["IADD3 R1, R1, R2, RZ"] * 40
        problem, = check_machine_code.problems(*found(listing(LOOP + ["NOP", "NOP"] + pack + [f"@P1 BRA {PACK_AT}"])))
        self.assertIn("43 instructions per block of outliers, over", problem)

    def test_counts_products_of_many_tokens(self):
        of_quads = [each for each in LOOP for _ in range(2 if each.startswith("HMMA") else 1)]
        counts = found(listing(of_quads, name=NAME.replace("ELi1ELi16ELb1", "ELi16ELi16ELb0")))[1]
        self.assertEqual((counts["tokens"], counts["lanes"]), (16, "quads"))
        self.assertAlmostEqual(counts["instructions"], (INSTRUCTIONS + 32) / 256)

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
