#!/usr/bin/env python3
"""Counts what the LUT-GEMV's main loops cost in the machine code that nvcc made, and compares with what a GPU can afford.

A multiprocessor issues 4 instructions of 32 lanes a clock; so at `instructions` per weight (and lane) it decodes
128 / instructions weights a clock. An H100 at its full memory bandwidth needs 28.9 at 4 bits and 38.6 at 3 (H200: 32.9
and 43.9). Checked for every architecture: the instructions per weight of the main loop, staging of x included where it
is part of the loop; that all its loads from memory are of 128 bits; no spills and no stack frame.

usage: check_machine_code.py [--tools DIR] [--table] OBJECT...     objects or a library made by nvcc
Exit 1 and a line for each problem when a budget is exceeded.
"""

import argparse
import collections
import os
import re
import subprocess
import sys

# Instructions per weight, by (bits, tokens): what the loops have today, and a little for other compilers.
BUDGET = {(4, 1): 1.6, (4, 2): 1.7, (4, 4): 1.85, (4, 8): 2.95, (4, 16): 4.2,
          (3, 1): 1.95, (3, 2): 1.95, (3, 4): 2.15, (3, 8): 2.35, (3, 16): 3.0}
# The 4-bit variant for devices whose shared memory begins elsewhere: an addition more a look-up, for one token.
UNKNOWN_WINDOW = 0.5

# Compute capability 10 and 12: nvcc takes this much more for addresses.
NEWER = 0.2

LANES, MMA_WEIGHTS = 32, 256  # weights of one mma.m16n8k16
KERNEL = re.compile(r"LutGemvKernel.*Codec(\d)ILi(\d+)E(?:Lb([01])E)?")
# The integer and logic pipe: half the lanes of the others.
ALU = {"PRMT", "LOP3", "SHF", "ISETP", "SEL", "IADD3", "LEA", "VIADD", "IMNMX", "VIMNMX", "PLOP3"}

Instruction = collections.namedtuple("Instruction", "address opcode operands")


def parse(text):
    """cuobjdump -sass's output: {(architecture, function): [Instruction]}."""
    functions, architecture, current = {}, None, None
    for line in text.splitlines():
        if match := re.match(r"\s*code for (sm_\w+)", line):
            architecture = match[1]
        elif match := re.match(r"\s*Function : (\S+)", line):
            current = functions.setdefault((architecture, match[1]), [])
        elif match := re.match(r"\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*(.*?)\s*;", line):
            if current is not None:
                current.append(Instruction(int(match[1], 16), match[2], match[3]))
    return functions


def main_loop(instructions):
    """The shortest backward jump's body with products and loads from memory."""
    best = None
    index = {instruction.address: i for i, instruction in enumerate(instructions)}
    for i, instruction in enumerate(instructions):
        target = re.search(r"0x([0-9a-f]+)$", instruction.operands)
        if not instruction.opcode.startswith("BRA") or not target:
            continue
        begin = index.get(int(target[1], 16), i + 1)
        body = instructions[begin:i + 1]
        opcodes = {each.opcode.split(".")[0] for each in body}
        if "HMMA" in opcodes and "LDG" in opcodes and (best is None or len(body) < len(best)):
            best = body
    return best


def count(function, instructions):
    """What a kernel's main loop costs, per weight, or None for another kernel."""
    match = KERNEL.search(function)
    if not match:
        return None
    bits, tokens = int(match[1]), int(match[2])
    loop = main_loop(instructions)
    if loop is None:
        raise ValueError(f"{function}: no loop with products and loads")
    opcodes = collections.Counter(each.opcode.split(".")[0] for each in loop)
    # One product of the tensor core takes 256 weights to 2 tokens (4 bits) or 8 (3 bits).
    products = opcodes["HMMA"] / -(-tokens // (2 if bits == 4 else 8))
    weights = products * MMA_WEIGHTS / LANES
    return {
        "bits": bits, "tokens": tokens, "known_window": match[3] != "0",
        "instructions": len(loop) / weights,
        "alu": sum(opcodes[name] for name in ALU) / weights,
        "shared_reads": opcodes["LDS"] / weights,
        "products": opcodes["HMMA"] * LANES / weights,
        "loads": sorted({each.opcode for each in loop if each.opcode.startswith("LDG")}),
        "narrow": [each.opcode for each in loop if each.opcode.startswith("LDG") and ".128" not in each.opcode],
        "spills": sum(each.opcode.split(".")[0] in ("LDL", "STL") for each in instructions),
    }


def problems(architecture, found):
    name = f"{architecture}: LUT-GEMV of {found['bits']} bits, {found['tokens']} tokens"
    budget = BUDGET[found["bits"], found["tokens"]]
    if not found["known_window"]:
        budget += UNKNOWN_WINDOW
    if int(re.sub(r"\D", "", architecture)) >= 100:
        budget += NEWER
    if found["instructions"] > budget:
        yield f"{name}: {found['instructions']:.2f} instructions per weight, over {budget:.2f}"
    if found["narrow"]:
        yield f"{name}: loads narrower than 128 bits in the main loop: {' '.join(found['narrow'])}"
    if found["spills"]:
        yield f"{name}: {found['spills']} loads and stores of spilled registers"


def print_table(rows):
    print("| architecture | bits | tokens | instructions/weight | ALU | shared reads | weights/clock it could decode |")
    print("|---|---|---|---|---|---|---|")
    for architecture, found in rows:
        rate = min(128 / found["instructions"], 64 / found["alu"], 32 / max(found["shared_reads"], 1e-9))
        print(f"| {architecture} | {found['bits']} | {found['tokens']} | {found['instructions']:.2f} | {found['alu']:.2f} | "
              f"{found['shared_reads']:.2f} | {rate:.0f} |")


def disassemble(tools, path):
    environment = dict(os.environ)
    if tools:
        environment["PATH"] = tools + os.pathsep + environment["PATH"]
    program = os.path.join(tools, "cuobjdump") if tools else "cuobjdump"
    return subprocess.run([program, "-sass", path], env=environment, check=True, capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("objects", nargs="+", metavar="OBJECT")
    parser.add_argument("--tools", metavar="DIR", help="where cuobjdump and nvdisasm are (default: on the PATH)")
    parser.add_argument("--table", action="store_true", help="print what was counted, as Markdown")
    arguments = parser.parse_args()
    rows, wrong = [], []
    for path in arguments.objects:
        for (architecture, function), instructions in parse(disassemble(arguments.tools, path)).items():
            found = count(function, instructions)
            if found is None:
                continue
            wrong += problems(architecture, found)
            if found["known_window"]:
                rows.append((architecture, found))
    seen = {(found["bits"], found["tokens"]) for _, found in rows}
    wrong += [f"no kernel of {bits} bits and {tokens} tokens found" for bits, tokens in sorted(set(BUDGET) - seen)]
    rows.sort(key=lambda row: (int(row[0].split("_")[1].rstrip("af")), -row[1]["bits"], row[1]["tokens"]))
    if arguments.table:
        print_table(rows)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
