#!/usr/bin/env python3
"""Translates PTX, what nvcc makes of a .cu file for any GPU, to C++ that runs on tests/cuda_shim: so that the kernels' tests
also test what nvcc has made of them, the instructions of kernels/cuda/ptx.cuh among it. A register becomes a variable
(registers.h), an instruction a statement, a jump a goto; each kernel's function takes the place of the kernel in the shim.

usage: translate.py SOURCE PTX OUTPUT     SOURCE: the .cu file as OUTPUT is to include it
Exit 1 and a line that names it when an instruction is not known.
"""

import re
import subprocess
import sys

C_TYPES = {"pred": "bool", "u8": "uint8_t", "s8": "int8_t", "u16": "uint16_t", "s16": "int16_t", "u32": "uint32_t",
           "s32": "int32_t", "u64": "uint64_t", "s64": "int64_t", "f32": "float", "f64": "double"}
C_TYPES.update({f"b{bits}": f"uint{bits}_t" for bits in (8, 16, 32, 64)})
# Where static shared memory begins in the shared window; dynamic shared memory begins where compute capability 9.0 has it.
STATIC_SHARED, DYNAMIC_SHARED = 1 << 28, 1024

SPECIAL = {"%tid": "thread", "%ctaid": "block", "%ntid": "block_dim", "%nctaid": "grid_dim"}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
LOGIC = {"and": "&&", "or": "||", "xor": "!="}
# Functions of operands that are all of the instruction's type, and of raw words, where signs do not matter.
TYPED = {"div": "{} / {}", "rem": "{} % {}", "min": "Least({}, {})", "max": "Greatest({}, {})", "abs": "std::abs({})",
         "fma": "std::fma({}, {}, {})", "rcp": "1 / {}", "sqrt": "std::sqrt({})", "rsqrt": "1 / std::sqrt({})",
         "ex2": "std::exp2({})", "lg2": "std::log2({})"}
RAW = {"add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "mad": "{} * {} + {}", "and": "{} & {}", "or": "{} | {}",
       "xor": "{} ^ {}", "not": "~{}", "neg": "0 - {}"}
WORDS = {"prmt": "sq::cuda::Permute", "dp4a": "sq::cuda::DotBytes"}
# Whole instructions without operands, or with one that is left alone.
ALONE = {"ret": "return;", "membar.gl": ";", "griddepcontrol.wait": "sq::cuda::WaitForPrevious();",
         "griddepcontrol.launch_dependents": "sq::cuda::LetNextStart();", "cp.async.commit_group": "sq::cuda::CommitCopies();",
         "cp.async.wait_all": "sq::cuda::WaitForAllCopies();"}


class Unknown(Exception):
    pass


def width(type_):
    return int(re.sub(r"\D", "", type_))


def raw(type_):
    return f"b{width(type_)}"


def split(text):
    """At commas that are in no braces and brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def names_of(operand):
    """The registers of a vector, or the one."""
    return [each.strip() for each in operand.strip("{}").split(",")]


def variable(register):
    return register.strip().replace("%", "r_")


class Kernel:
    def __init__(self, name, symbols):
        self.name, self.symbols = name, symbols
        self.local = []  # names that inline assembly declares, by block

    def value(self, operand, type_):
        """An operand as a C++ expression of the type."""
        c_type = C_TYPES[type_]
        if operand.startswith("!"):
            return f"!{variable(operand[1:])}"
        if match := re.fullmatch(r"0[fFdD]([0-9A-Fa-f]+)", operand):
            word = f"uint{4 * len(match[1])}_t{{0x{match[1]}u}}"
            return word if c_type.startswith("uint") else f"Bits<{c_type}>({word})"
        if re.fullmatch(r"-?\d+|0x[0-9a-fA-F]+", operand):
            return f"static_cast<{c_type}>({'INT64_MIN' if operand == str(-2**63) else operand + 'll'})"
        name, _, axis = operand.partition(".")
        if name in SPECIAL:
            return f"static_cast<{c_type}>(sq::shim::running.{SPECIAL[name]}.{axis})"
        if re.fullmatch(r"%[a-z]+\d+", operand) or any(operand in names for names in self.local):
            return variable(operand) if type_ == "pred" else f"As<{c_type}>({variable(operand)})"
        if operand in self.symbols:
            return f"static_cast<{c_type}>({self.symbols[operand]})"
        if match := re.fullmatch(re.escape(self.name) + r"_param_(\d+)", operand):
            return f"reinterpret_cast<uint64_t>(parameters[{match[1]}])"
        raise Unknown(f"the operand {operand}")

    def address(self, operand, space):
        """[register or name + offset] as a pointer to bytes."""
        base, _, offset = operand.strip("[]").replace(" ", "").partition("+")
        at = f"uint64_t{{{variable(base)}}}" if base.startswith("%") else self.value(base, "u64")
        at += f" + ({offset or 0})"
        return f"Shared({at})" if space == "shared" else f"reinterpret_cast<unsigned char*>({at})"

    def to(self, operand, type_, expression):
        if type_ == "pred":
            return f"{variable(operand)} = {expression};"
        return f"Set({variable(operand)}, static_cast<{C_TYPES[type_]}>({expression}));"

    def move(self, type_, a):
        each = names_of(a[1] if a[1].startswith("{") else a[0])
        if len(each) == 1:
            return self.to(a[0], type_, self.value(a[1], type_))
        part = width(type_) // len(each)
        if a[1].startswith("{"):
            words = [f"static_cast<{C_TYPES[type_]}>({self.value(name, f'b{part}')}) << {i * part}" for i, name in enumerate(each)]
            return self.to(a[0], type_, " | ".join(words))
        return " ".join(self.to(name, f"b{part}", f"{self.value(a[1], type_)} >> {i * part}")
                        for i, name in enumerate(each) if name != "_")

    def access(self, op, parts, type_, a):
        where, registers = (a[1], names_of(a[0])) if op == "ld" else (a[0], names_of(a[1]))
        space = next((part for part in parts if part in ("param", "shared", "global")), "any")
        bytes_ = width(type_) // 8
        code = [f"unsigned char* at = Aligned({self.address(where, space)}, {bytes_ * len(registers)});"]
        for i, register in enumerate(registers):
            if op == "ld":  # a register may be wider than what it gets
                code.append(f"Widen({variable(register)}, Load<{C_TYPES[type_]}>(at + {i * bytes_}));")
            else:
                word = self.value(register, f"b{max(width(type_), 16)}")
                code.append(f"Store<{C_TYPES[raw(type_)]}>(at + {i * bytes_}, {word});")
        return " ".join(code)

    def compare(self, parts, type_, a):
        how, x, y = parts[1], self.value(a[1], type_), self.value(a[2], type_)
        unordered = f"({x} != {x} || {y} != {y})"
        if how == "nan":
            found = unordered
        elif how in COMPARISONS and not (how == "ne" and type_[0] == "f"):
            found = f"({x} {COMPARISONS[how]} {y})"
        elif how == "ne":
            found = f"({x} < {y} || {x} > {y})"
        elif how[:-1] in COMPARISONS and how[-1] == "u":
            found = f"({unordered} || {x} {COMPARISONS[how[:-1]]} {y})"
        else:
            raise Unknown(f"the comparison {how}")
        if len(a) == 4:
            found = f"({found} {LOGIC[parts[2]]} {self.value(a[3], 'pred')})"
        return self.to(a[0], "pred", found)

    def convert(self, parts, a):
        to, from_ = parts[-2:]
        if from_ in ("f16", "bf16"):
            return self.to(a[0], to, f"sq::{'Fp16' if from_ == 'f16' else 'Bf16'}ToFloat({self.value(a[1], 'b16')})")
        value = self.value(a[1], from_)
        if to in ("f16", "bf16") and parts[1] == "rn":
            return self.to(a[0], "b16", f"sq::FloatTo{'Fp16' if to == 'f16' else 'Bf16'}({value})")
        if parts[1] == "sat" and to == from_ == "f32":
            return self.to(a[0], to, f"Saturate({value})")
        if parts[1] == "rmi":
            return self.to(a[0], to, f"std::floor({value})")
        if len(parts) == 3 or parts[1] == "rn" and to[0] == "f":
            return self.to(a[0], to, value)
        raise Unknown("a conversion")

    def shuffle(self, parts, a):
        target, _, inside = a[0].partition("|")
        mask, value, lane, bounds = self.value(a[4], "u32"), self.value(a[1], "b32"), self.value(a[2], "u32"), self.value(a[3], "u32")
        code = f"bool inside; {self.to(target, 'b32', f'Shuffle<Way::k{parts[2].title()}>({mask}, {value}, {lane}, {bounds}, &inside)')}"
        return f"{code} {self.to(inside, 'pred', 'inside')}" if inside else code

    def multiply_add(self, a):
        d, x, y, c = map(names_of, a)
        code = [f"float d[4] = {{{', '.join(self.value(each, 'f32') for each in c)}}};"]
        code.append(f"const uint32_t a[] = {{{', '.join(self.value(each, 'b32') for each in x)}}};")
        words = ", ".join(self.value(each, "b32") for each in y)
        code.append(f"const uint32_t b[] = {{{words}}};" if len(y) > 1 else f"const uint32_t b = {words};")
        return " ".join(code + ["sq::cuda::MultiplyAdd(d, a, b);"] + [self.to(each, "f32", f"d[{i}]") for i, each in enumerate(d)])

    def atomic(self, parts, type_, a):
        by = self.value(a[2], type_)
        new = {"inc": f"(old >= {by} ? 0 : old + 1)", "add": f"old + {by}", "or": f"old | {by}"}[parts[2]]
        c_type = C_TYPES[type_]
        return (f"auto* const at = reinterpret_cast<{c_type}*>({self.address(a[1], parts[1])}); const {c_type} old = *at; "
                f"*at = {new}; {self.to(a[0], type_, 'old')}")

    def instruction(self, opcode, a):
        parts = opcode.split(".")
        op, type_ = parts[0], parts[-1]

        def values(of, first=1):
            return [self.value(each, of) for each in a[first:]]

        if opcode in ALONE:
            return ALONE[opcode]
        if op == "bra":
            return f"goto {a[0].replace('$', 'l_')};"
        if opcode == "bar.warp.sync":
            return f"__syncwarp({self.value(a[0], 'u32')});"
        if opcode == "bar.sync" and a == ["0"]:
            return "__syncthreads();"
        if op == "prefetch":
            return f"sq::cuda::Prefetch({self.address(a[0], 'global')});"
        if opcode == "cp.async.wait_group":
            return f"sq::cuda::WaitForCopies<{a[0]}>();"
        if opcode == "cp.async.cg.shared.global" and a[2] == "16":
            return (f"sq::cuda::CopyToShared(AddressOf({self.address(a[0], 'shared')}), "
                    f"reinterpret_cast<const uint4*>({self.address(a[1], 'global')}));")
        if op == "mma":
            return self.multiply_add(a)
        if op == "shfl":
            return self.shuffle(parts, a)
        if opcode == "vote.sync.any.pred":
            return self.to(a[0], "pred", f"__any_sync({self.value(a[2], 'u32')}, {self.value(a[1], 'pred')}) != 0")
        if opcode == "vote.sync.ballot.b32":
            return self.to(a[0], "b32", f"__ballot_sync({self.value(a[2], 'u32')}, {self.value(a[1], 'pred')})")
        if op == "atom":
            return self.atomic(parts, type_, a)
        if op == "mov":
            return self.move(type_, a)
        if op in ("ld", "st"):
            return self.access(op, parts, type_, a)
        if op == "cvta":
            shared = parts[1] == "shared"
            return self.to(a[0], type_, f"reinterpret_cast<uint64_t>(Shared({values(type_)[0]}))" if shared else values(type_)[0])
        if op == "cvt":
            return self.convert(parts, a)
        if op == "setp":
            return self.compare(parts, type_, a)
        if op == "selp":
            x, y = (self.value(each, type_) for each in a[1:3])
            return self.to(a[0], type_, f"{self.value(a[3], 'pred')} ? {x} : {y}")
        if type_ == "pred" and op in LOGIC:
            return self.to(a[0], type_, f" {LOGIC[op]} ".join(values(type_)))
        if type_ == "pred" and op == "not":
            return self.to(a[0], type_, f"!{values(type_)[0]}")
        if op in ("shl", "shr"):
            name = "ShiftLeft" if op == "shl" else "ShiftRight"
            return self.to(a[0], type_, f"{name}({self.value(a[1], type_)}, {self.value(a[2], 'u32')})")
        if op in ("mul", "mad") and "wide" in parts:
            wide = f"{type_[0]}{2 * width(type_)}"
            product = " * ".join(f"{C_TYPES[wide]}{{{self.value(each, type_)}}}" for each in a[1:3])
            return self.to(a[0], wide, product + (f" + {self.value(a[3], wide)}" if op == "mad" else ""))
        if opcode == "fma.rm.f32":
            return self.to(a[0], type_, "FmaDown({}, {}, {})".format(*values(type_)))
        if op == "copysign":
            return self.to(a[0], type_, "std::copysign({1}, {0})".format(*values(type_)))
        if op == "bfi":
            return self.to(a[0], type_, f"InsertBits({', '.join(values(type_)[:2] + values('u32', 3))})")
        if op in ("popc", "brev") or opcode == "bfind.shiftamt.u32":
            name = {"popc": "CountOnes", "brev": "Reverse", "bfind": "CountZerosAbove"}[op]
            return self.to(a[0], "b32", f"{name}({values(type_)[0]})")
        if op in WORDS:
            return self.to(a[0], "b32", f"{WORDS[op]}({', '.join(values('b32'))})")
        rounds = [part for part in parts[1:-1] if part not in ("rn", "lo", "approx", "ftz")]
        if op in TYPED and not rounds:
            return self.to(a[0], type_, TYPED[op].format(*values(type_)))
        if op in RAW and not rounds:
            of = type_ if type_[0] == "f" else raw(type_)
            return self.to(a[0], of, (RAW[op] if op != "neg" or of != type_ else "-{}").format(*values(of)))
        raise Unknown("an instruction")

    def statement(self, text):
        guard = ""
        if match := re.match(r"@(!?)(%?\w+)\s+(.*)", text, re.S):
            guard, text = f"if ({match[1]}{variable(match[2])}) ", match[3]
        if match := re.fullmatch(r"\.reg\s+\.(\w+)\s+(.*)", text, re.S):
            return self.declaration(match[1], match[2])
        if text.startswith((".pragma", ".shared")):
            return ""
        opcode, _, rest = text.partition(" ")
        try:
            return f"{guard}{{ {self.instruction(opcode, split(rest))} }}"
        except (Unknown, KeyError, IndexError) as error:
            raise Unknown(f"{text}: {error}") from error

    def declaration(self, type_, names):
        if match := re.fullmatch(r"(%\w+)<(\d+)>", names):
            names = ", ".join(f"{match[1]}{i}" for i in range(int(match[2])))
        elif self.local:
            self.local[-1].update(each.strip() for each in names.split(","))
        return f"{'bool' if type_ == 'pred' else C_TYPES[raw(type_)]} {', '.join(variable(each) for each in names.split(','))};"

    def body(self, text):
        """Statements, labels and blocks of inline assembly, a line each."""
        for token in re.findall(r"\s*([{}]|\$?\w+:(?!:)|(?:[^;{}]|\{[^{};]*\})+;)", text):
            if token == "{":
                self.local.append(set())
                yield token
            elif token == "}":
                self.local.pop()
                yield token
            elif token.endswith(":"):
                yield f"{token[:-1].replace('$', 'l_')}:;"
            else:
                yield self.statement(re.sub(r"\s+", " ", token[:-1]))


def static_shared(text):
    """{name: offset in the shared window} and how many bytes there are."""
    symbols, size = {}, 0
    for outside, align, type_, name, count in re.findall(
            r"(\.extern )?\.shared \.align (\d+) \.(\w+) (\w+)(?:\[(\d*)\])?;", text):
        if outside:
            symbols[name] = DYNAMIC_SHARED
            continue
        size = -(-size // int(align)) * int(align)
        symbols[name] = STATIC_SHARED + size
        size += width(type_) // 8 * int(count or 1)
    return symbols, size


def kernels_of(text):
    """(name, body) of each."""
    for match in re.finditer(r"\.entry\s+(\w+)\s*\([^)]*\)[^{]*\{", text):
        depth, end = 1, match.end()
        while depth > 0:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        yield match[1], text[match.end():end - 1]


def in_source(mangled):
    """The kernel's name as C++ has it, template arguments included."""
    name = subprocess.run(["c++filt", mangled], capture_output=True, text=True, check=True).stdout.strip()
    name = re.sub(r"^void ", "", name).replace("(anonymous namespace)::", "")
    name = re.sub(r"\((?:bool|int|unsigned int|long)\)(\d+)", r"\1", name)
    depth, end = 0, 0
    while depth > 0 or name[end] != "(":  # of its parameters
        depth += {"<": 1, ">": -1}.get(name[end], 0)
        end += 1
    return name[:end]


def translate(source, text):
    text = re.sub(r"//[^\n]*", "", text)
    symbols, size = static_shared(text)
    lines = [f'#include "{source}"', '#include "cuda_ptx/registers.h"', "namespace {", "using namespace sq::ptx;",
             f"[[maybe_unused]] alignas(16) unsigned char static_shared[{size} + 1];",
             f"[[maybe_unused]] unsigned char* Shared(uint64_t at) {{ return InShared(at, {STATIC_SHARED}, static_shared, {size}); }}"]
    replaced = []
    for i, (name, body) in enumerate(kernels_of(text)):
        lines += [f"void Kernel{i}([[maybe_unused]] const void* const* parameters) {{", *Kernel(name, symbols).body(body), "}"]
        replaced.append(f"[[maybe_unused]] const bool replaced{i} = sq::shim::Replace("
                        f"reinterpret_cast<void (*)()>(&{in_source(name)}), Kernel{i});")
    return "\n".join(lines + replaced + ["}  // namespace", ""])


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, ptx, output = sys.argv[1:]
    with open(ptx) as file:
        text = file.read()
    try:
        translated = translate(source, text)
    except Unknown as error:
        sys.exit(f"{ptx}: not known: {error}")
    with open(output, "w") as file:
        file.write(translated)


if __name__ == "__main__":
    main()
