#!/usr/bin/env python3
"""Loads a .pt file the way its users do, with torch.load, and compares keys, dtypes and shapes with a JSON
list {name: {"dtype": "int32", "shape": [18, 64]}}. Prints each difference; exit 1 if there is any.
"""

import argparse
import json
import sys

try:
    import torch
except ImportError as error:
    sys.exit(f"torch_load_check: {error}; install torch")


def describe(value):
    """A tensor by dtype and shape. Python numbers occur too: sparse_threshold.* holds ints."""
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).replace('torch.', '')} {list(value.shape)}"
    return type(value).__name__


def describe_expected(name, entry):
    if not isinstance(entry, dict) or "dtype" not in entry:
        raise ValueError(f"{name}: expected an object with dtype and shape, found {entry!r}")
    # An entry without a shape is a plain number, whose dtype is the Python type.
    return f"{entry['dtype']} {entry['shape']}" if "shape" in entry else entry["dtype"]


def differences(found, expected):
    for name in sorted(found.keys() | expected.keys()):
        left = describe(found[name]) if name in found else "nothing"
        right = describe_expected(name, expected[name]) if name in expected else "nothing"
        if left != right:
            yield f"{name}: expected {right}, found {left}"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE.pt")
    parser.add_argument("expected", metavar="EXPECTED.json", help="- reads standard input")
    arguments = parser.parse_args()
    try:
        # weights_only exists since torch 1.13: nothing but tensors and plain containers is unpickled.
        found = torch.load(arguments.file, map_location="cpu", weights_only=True)
        with sys.stdin if arguments.expected == "-" else open(arguments.expected, encoding="utf-8") as file:
            expected = json.load(file)
        if not isinstance(found, dict) or not isinstance(expected, dict):
            raise ValueError("the file and the list must both be dictionaries by name")
        different = list(differences(found, expected))
    except Exception as error:  # torch.load raises many kinds, by version
        message = (str(error).strip() or type(error).__name__).split("\n")[0]
        print(f"torch_load_check: {arguments.file}: {message}", file=sys.stderr)
        return 1
    for line in different:
        print(line)
    if not different:
        print(f"{arguments.file}: {len(found)} entries as expected")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
