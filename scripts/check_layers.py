#!/usr/bin/env python3
"""Checks what the layout promises: includes only go down, LibTorch stays in its layers, every source with
a public header has a test, and no file grows long without a reason. One line per problem; exit 1 if any.
"""

import argparse
import os
import re
import sys
from pathlib import Path

# A layer may include itself and every layer of a lower row, never a sibling of its own row.
ROWS = [["base"], ["packed"], ["checkpoint", "quant", "kernels", "text"], ["model"], ["calib", "eval"],
        ["pipeline"], ["tools"]]
RANK = {layer: rank for rank, row in enumerate(ROWS) for layer in row}

# One header for the users of the library; it may include the public headers of these layers.
UMBRELLA, CORE = "include/sq/squeezellm.h", {"base", "packed", "checkpoint", "quant", "kernels"}

TORCH_HEADERS = ("torch/", "ATen/", "c10/", "caffe2/")
TORCH_LAYERS = {"model", "calib", "eval", "pipeline"}
TORCH_FILES = {"src/checkpoint/torch_writer.cc", "tools/serving/lut_linear.cc"}

HEADER_LINES, SOURCE_LINES, KERNEL_LINES = 150, 400, 500
REASON, REASON_WITHIN = "Long because", 15  # lines from the top
HEADERS, SOURCES = {".h", ".cuh"}, {".cc", ".cu"}

INCLUDE = re.compile(r'\s*#\s*include\s*["<]([^">]+)[">]')


def layer_of(path):
    """The layer of a file, by its path from the root: include/sq/L/, src/L/, kernels/ and tools/."""
    parts = Path(path).parts
    if parts[:2] == ("include", "sq") and len(parts) > 3:
        return parts[2]
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    return parts[0] if parts[0] in ("kernels", "tools") else None


def code_files(root):
    """Paths from the root, with forward slashes."""
    for top in ("include", "src", "kernels", "tools"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in HEADERS | SOURCES and path.is_file():
                yield path.relative_to(root).as_posix()


def find_include(root, file, name):
    """The included file of this project, from the root; None for a header from elsewhere."""
    for base in (os.path.dirname(file), "include", "src", ""):
        path = os.path.normpath(os.path.join(base, name))
        if not path.startswith("..") and (root / path).is_file():
            return path
    return None


def umbrella_problems(root, lines):
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        target = match and find_include(root, UMBRELLA, match[1])
        if match and (not target or layer_of(target) not in CORE or not target.startswith("include/")):
            yield f"{UMBRELLA}:{number}: {match[1]} is no public header of {' '.join(sorted(CORE))}"


def include_problems(root, file, lines):
    if file == UMBRELLA:
        yield from umbrella_problems(root, lines)
        return
    layer = layer_of(file)
    if layer not in RANK:
        yield f"{file}: belongs to no layer; known: {' '.join(RANK)}"
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        name = match[1]
        place = f"{file}:{number}: {layer} includes {name}"
        if name.startswith(TORCH_HEADERS) and layer not in TORCH_LAYERS and file not in TORCH_FILES:
            yield f"{place}: LibTorch belongs to {' '.join(sorted(TORCH_LAYERS))} and torch_writer.cc"
        target = find_include(root, file, name)
        if target is None:
            if name.startswith("sq/"):
                yield f"{place}: no such file"
            continue
        other = layer_of(target)
        if other is None:
            yield f"{place}: {target} is outside the layers"
        elif other in RANK and other != layer and RANK[other] >= RANK[layer]:
            yield f"{place}: {'a sibling' if RANK[other] == RANK[layer] else 'upward'}"


def test_problem(root, file):
    path, layer = Path(file), layer_of(file)
    if path.suffix not in SOURCES or layer == "tools":
        return
    if not (root / "include/sq" / layer / f"{path.stem}.h").is_file():
        return
    test = f"tests/{layer}/{path.stem}_test.cc"
    if not (root / test).is_file():
        yield f"{file}: has a public header but no {test}"


def size_problem(file, lines):
    path = Path(file)
    limit = (KERNEL_LINES if path.parts[0] == "kernels" and len(path.parts) > 2 else
             HEADER_LINES if path.suffix in HEADERS else SOURCE_LINES)
    if len(lines) > limit and not any(REASON in line for line in lines[:REASON_WITHIN]):
        yield f'{file}: {len(lines)} lines, over {limit}; split it or say "{REASON} ..." at the top'


def problems(root):
    root = Path(root)
    files = list(code_files(root))
    if not files:
        raise ValueError(f"{root}: no sources under include, src, kernels or tools")
    for file in files:
        lines = (root / file).read_text(encoding="utf-8").splitlines()
        yield from include_problems(root, file, lines)
        yield from test_problem(root, file)
        yield from size_problem(file, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", metavar="DIR", default=Path(__file__).resolve().parent.parent,
                        help="the checkout (default: the one this script is in)")
    arguments = parser.parse_args()
    try:
        found = list(problems(arguments.root))
    except (OSError, ValueError) as error:
        print(f"check_layers: {error}", file=sys.stderr)
        return 1
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
