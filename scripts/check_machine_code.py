#!/usr/bin/env python3
"""Counts what the LUT-GEMV's main loops cost in the machine code that nvcc made, and compares with what a GPU can afford.

A multiprocessor issues 4 instructions of 32 lanes a clock; so at `instructions` per weight (and lane) it decodes
128 / instructions weights a clock, and its shared memory moves 128 bytes a clock. An H100 at its full memory bandwidth
needs 28.9 weights a clock at 4 bits and 38.6 at 3 (H200: 32.9 and 43.9). Checked for every architecture: the instructions
per weight of the main loop, staging of x included, on its way without outliers, and of the loop within it a block of
16 outliers; that all loads from memory in both are of 128 bits; that their ways spill no registers (those that only the last K-tile of
a tile needs may be spilled); that indices go to shared memory without passing through registers, and that a warp that waits for some
leaves those behind them on their way. What is spilled elsewhere, once a tile or a launch, is in the table. And of attention,
that a warp asks for all it needs of 32 positions before it waits for any.

usage: check_machine_code.py [--tools DIR] [--table] OBJECT...     objects or a library made by nvcc
Exit 1 and a line for each problem when a budget is exceeded.
"""

import argparse
import collections
import os
import re
import subprocess
import sys

# Instructions per weight, by (bits, tokens, warps, how lanes decode: a row each at a time, the same of what a norm left, or
# rows of a quad): what the loops have today, and a little for other compilers.
BUDGET = {(4, 1, 16, "rows"): 2.6, (4, 2, 16, "rows"): 3.05,
          (4, 4, 16, "quads"): 2.35, (4, 8, 16, "quads"): 2.4, (4, 16, 16, "quads"): 2.8,
          (4, 1, 8, "rows"): 2.5, (4, 4, 8, "rows"): 3.85, (4, 8, 8, "rows"): 5.8,
          (4, 1, 16, "rows, normed"): 2.7, (4, 1, 8, "rows, normed"): 2.65,
          (3, 1, 16, "rows"): 2.45, (3, 2, 16, "rows"): 2.85,
          (3, 4, 16, "quads"): 2.5, (3, 8, 16, "quads"): 2.5, (3, 16, 16, "quads"): 2.9,
          (3, 1, 8, "rows"): 2.35, (3, 4, 8, "rows"): 3.65, (3, 8, 8, "rows"): 5.6,
          (3, 1, 16, "rows, normed"): 2.65, (3, 1, 8, "rows, normed"): 2.5}
# Groups of copies that a warp leaves on their way when it waits for indices, by (bits, whether of rows).
LEFT_BEHIND = {(4, True): 7, (4, False): 3, (3, True): 5, (3, False): 5}
# Instructions per block of 16 outliers, by (tokens, whether of rows); where a K-tile has several stages a vote leaves out those of
# inputs that are not there.
OUTLIER_BLOCK_BUDGET = {(1, True): 34, (2, True): 43, (4, True): 51, (8, True): 75, (4, False): 63, (8, False): 75, (16, False): 82}
# Loads of attention on their way at once, by (queries, 16-byte chunks of a key that a lane takes): keys and values.
ATTENTION_LOADS = {(1, 2): 8 + 8, (2, 2): 8 + 8, (1, 4): 16 + 16, (2, 4): 16 + 16}

LANES, MMA_WEIGHTS, MMA_TOKENS = 32, 256, 8  # of one mma.m16n8k16
KERNEL = re.compile(r"LutGemvKernelILi(\d)ELi(\d+)ELi(\d+)ELb(\d)ELb(\d)E")
ATTENTION = re.compile(r"AttendKernelILi(\d)ELi(\d)E")
# The integer and logic pipe: half the lanes of the others.
ALU = {"PRMT", "LOP3", "SHF", "ISETP", "SEL", "IADD3", "LEA", "VIADD", "IMNMX", "VIMNMX", "PLOP3"}

Instruction = collections.namedtuple("Instruction", "address predicate opcode operands")


def parse(text):
    """cuobjdump -sass's output: {(architecture, function): [Instruction]}."""
    functions, architecture, current = {}, None, None
    for line in text.splitlines():
        if match := re.match(r"\s*code for (sm_\w+)", line):
            architecture = match[1]
        elif match := re.match(r"\s*Function : (\S+)", line):
            current = functions.setdefault((architecture, match[1]), [])
        elif match := re.match(r"\s*/\*([0-9a-f]{4,})\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][\w.]*)\s*(.*?)\s*;", line):
            if current is not None:
                current.append(Instruction(int(match[1], 16), match[2], match[3], match[4]))
    return functions


def successors(instructions):
    """For each instruction the indices of those that may come next. Where lanes of a warp part (BRA.DIV), the way together."""
    index = {instruction.address: i for i, instruction in enumerate(instructions)}
    following = []
    for i, (_, predicate, opcode, operands) in enumerate(instructions):
        target = re.search(r"(?:^|\s)0x([0-9a-f]+)$", operands)
        jumps = opcode.split(".")[0] == "BRA" and not opcode.endswith(".DIV") and target
        stays = predicate or "," in operands if jumps else opcode != "EXIT" or predicate
        following.append(([index[int(target[1], 16)]] if jumps else []) +
                         ([i + 1] if stays and i + 1 < len(instructions) else []))
    return following


def loops(instructions):
    """Sets of indices, the smallest first: what comes between a jump's target and the jump, on the way there."""
    following = successors(instructions)
    before = collections.defaultdict(list)
    reached, waiting = set(), [0]
    while waiting:
        i = waiting.pop()
        if i not in reached:
            reached.add(i)
            waiting += following[i]
            for next_one in following[i]:
                before[next_one].append(i)
    found = {}
    for jump in sorted(reached):
        each = following[jump]
        for head in each:
            if head > jump:
                continue
            loop, waiting = {head}, [jump]
            while waiting and 0 not in loop:  # from the kernel's beginning: no loop, only a block out of the way
                i = waiting.pop()
                if i not in loop:
                    loop.add(i)
                    waiting += before[i]
            if 0 not in loop:
                found[head] = found.get(head, set()) | loop
    return sorted(found.values(), key=len)


def shortest(all_loops, instructions, *wanted):
    """The shortest loop with all of these opcodes."""
    for loop in all_loops:
        if all(any(instructions[i].opcode.startswith(opcode) for i in loop) for opcode in wanted):
            return loop
    return None


def shortest_way(loop, instructions, points):
    """Indices of the fewest instructions that lead from the loop's beginning around to it by these indices in their order."""
    following, head, points = successors(instructions), min(loop), sorted(points)

    def passed(i, count):
        return count + (count < len(points) and points[count] == i)

    start = (head, passed(head, 0))
    came_from, waiting = {}, collections.deque([start])
    while waiting:
        here = waiting.popleft()
        for each in following[here[0]]:
            if each == head and here[1] == len(points):
                way = [here]
                while way[-1] in came_from:
                    way.append(came_from[way[-1]])
                return [i for i, _ in reversed(way)]
            there = (each, passed(each, here[1]))
            if each in loop and each != head and there not in came_from:
                came_from[there] = here
                waiting.append(there)
    raise ValueError("a loop that does not come back by all that it must do")


def opcodes_of(instructions):
    return collections.Counter(each.opcode.split(".")[0] for each in instructions)


def shared_bytes(instructions, tokens):
    """What a warp moves through shared memory and the first-level cache, which are one, in 128 bytes that take a clock."""
    def of(each):
        kind = each.opcode.split(".")[0]
        if kind == "SHFL":
            return 1
        if kind not in ("LDS", "STS", "LDG", "LDGSTS") or each.operands.startswith("RZ"):  # those only bide their time
            return 0
        if ".128" not in each.opcode:
            return 2 if ".64" in each.opcode else 1
        return max(1, min(tokens, MMA_TOKENS) * 4 * 16 / 128) if kind == "LDS" and each.predicate else 4
    return sum(map(of, instructions))


def narrow_or_spilled(instructions):
    narrow = [each.opcode for each in instructions if each.opcode.startswith("LDG.") and ".128" not in each.opcode]
    return narrow, sum(each.opcode.split(".")[0] in ("LDL", "STL") for each in instructions)


def count(function, instructions):
    """What a kernel's main loop costs, per weight, or None for another kernel."""
    match = KERNEL.search(function)
    if not match:
        return None
    bits, tokens, warps, of_rows, normed = map(int, match.groups())
    all_loops = loops(instructions)
    main = shortest(all_loops, instructions, "HMMA.16816", "LDG.")
    if main is None:
        raise ValueError(f"{function}: no loop with products and loads")
    blocks = shortest(all_loops, instructions, "HMMA.", "LDS.U16")
    loads = {i for i in main if instructions[i].opcode.startswith("LDG.")}  # of x
    stores = {i for i in main if instructions[i].opcode.startswith("STS")}  # of quads for outliers alone
    staging = loads | stores if of_rows else loads
    without_outliers = shortest_way(main, instructions, staging)
    way = [instructions[i] for i in without_outliers]
    # Once around each innermost loop over blocks of outliers, of which there is one a stage.
    inner = [loop for loop in all_loops if loop < main and not any(other < loop for other in all_loops)]
    over_blocks = [loop for loop in inner if any(instructions[i].opcode.startswith("LDS.U16") for i in loop)]
    by_outliers = set(shortest_way(main, instructions, loads | stores | {min(loop) for loop in over_blocks}))
    with_outliers = len(by_outliers.difference(*over_blocks))
    on_the_way = sorted(by_outliers.union(without_outliers, *over_blocks))
    opcodes = opcodes_of(way)
    # Of rows, a product is of one token; else of 8.
    products = sum(each.opcode.startswith("HMMA.16816") for each in way) / (tokens if of_rows else -(-tokens // MMA_TOKENS))
    weights = products * MMA_WEIGHTS / LANES
    narrow = narrow_or_spilled([instructions[i] for i in main])[0]
    spilled = narrow_or_spilled([instructions[i] for i in on_the_way])[1]
    waits = [int(each.operands.split(",")[1], 16) for each in way if each.opcode == "DEPBAR.LE"]
    return {
        "bits": bits, "tokens": tokens, "warps": warps, "of_rows": bool(of_rows),
        "lanes": ("rows" if of_rows else "quads") + (", normed" if normed else ""),
        "instructions": len(way) / weights, "with_outliers": with_outliers / weights,
        "alu": sum(opcodes[name] for name in ALU) / weights,
        "shared": shared_bytes(way, tokens) / weights,
        "outlier_block": len(blocks) if blocks else 0,
        "copies": opcodes["LDGSTS"], "waits": waits,
        "narrow": narrow, "spilled": spilled, "spilled_anywhere": narrow_or_spilled(instructions)[1],
    }


def loads_at_once(instructions):
    """Most loads of 128 bits that come one after the other with no jump, and no way in, between them."""
    starts = {each for i, following in enumerate(successors(instructions)) for each in following if each != i + 1}
    most = run = 0
    for i, instruction in enumerate(instructions):
        if i in starts or instruction.opcode.split(".")[0] in ("BRA", "BAR"):
            run = 0
        run += instruction.opcode.startswith("LDG.") and ".128" in instruction.opcode
        most = max(most, run)
    return most


def attention_problems(architecture, function, instructions):
    queries, chunks = map(int, ATTENTION.search(function).groups())
    wanted, found = ATTENTION_LOADS.get((queries, chunks), 0), loads_at_once(instructions)
    if found < wanted:
        yield (f"{architecture}: attention of {queries} queries, {chunks} chunks a key: {found} loads at once, "
               f"expected {wanted}")


def problems(architecture, found):
    name = "{}: LUT-GEMV of {bits} bits, {tokens} tokens, {warps} warps, lanes of {lanes}".format(architecture, **found)
    budget = BUDGET[found["bits"], found["tokens"], found["warps"], found["lanes"]]
    if found["instructions"] > budget:
        yield f"{name}: {found['instructions']:.2f} instructions per weight, over {budget:.2f}"
    chunks = 2 * found["bits"]
    if found["copies"] != chunks:
        yield f"{name}: {found['copies']} copies of indices to shared memory a K-tile, expected {chunks}"
    left_behind = LEFT_BEHIND[found["bits"], found["of_rows"]]
    if found["waits"] != [left_behind] * chunks:
        yield f"{name}: waits for all but the last {found['waits']} copies, expected {[left_behind] * chunks}"
    outlier_block_budget = OUTLIER_BLOCK_BUDGET[found["tokens"], found["of_rows"]]
    if found["outlier_block"] > outlier_block_budget:
        yield f"{name}: {found['outlier_block']} instructions per block of outliers, over {outlier_block_budget}"
    if found["narrow"]:
        yield f"{name}: loads narrower than 128 bits in the main loop: {' '.join(found['narrow'])}"
    if found["spilled"]:
        yield f"{name}: {found['spilled']} loads and stores of spilled registers in the main loop"


def print_table(rows):
    print("| architecture | bits | tokens | warps | lanes of | instructions/weight | ALU | shared memory | "
          "weights/clock it could decode | instructions/weight that outliers add | and a block of 16 | spills elsewhere |")
    print("|" + "---|" * 12)
    for architecture, found in rows:
        rate = min(128 / found["instructions"], 64 / found["alu"], 32 / found["shared"])
        print("| {} | {bits} | {tokens} | {warps} | {lanes} | {instructions:.2f} | {alu:.2f} | {shared:.2f} | {:.0f} | {:.2f} | "
              "{outlier_block} | {spilled_anywhere} |".format(architecture, rate, found["with_outliers"] - found["instructions"], **found))


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
            if ATTENTION.search(function):
                wrong += attention_problems(architecture, function, instructions)
            found = count(function, instructions)
            if found is None:
                continue
            wrong += problems(architecture, found)
            rows.append((architecture, found))
    seen = {(found["bits"], found["tokens"], found["warps"], found["lanes"]) for _, found in rows}
    wrong += ["no kernel of {} bits, {} tokens, {} warps, lanes of {} found".format(*each)
              for each in sorted(set(BUDGET) - seen)]
    rows.sort(key=lambda row: (int(row[0].split("_")[1].rstrip("af")), -row[1]["bits"], row[1]["tokens"],
                             not row[1]["of_rows"], row[1]["warps"], row[1]["lanes"]))
    if arguments.table:
        print_table(rows)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
