#!/usr/bin/env python3
"""Unpacks from wheels what a CPU build of this project needs of LibTorch: headers, two libraries and what
those load.

usage: unpack_libtorch.py WHEELS OUTPUT
"""
import pathlib
import re
import sys
import zipfile

WANTED = re.compile(
    r"torch/include/.*"
    r"|torch/lib/(libc10|libtorch_cpu)\.so"
    r"|nvidia/cu13/lib/(libcudart|libcupti)\.so\.13"
    r"|torch-[^/]*/(LICENSE|NOTICE|licenses/.*)"
)


def main():
    wheels, output = map(pathlib.Path, sys.argv[1:3])
    found = sorted(wheels.glob("*.whl"))
    if not found:
        sys.exit(f"error: {wheels}: no wheels")
    for wheel in found:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(output, [n for n in archive.namelist() if WANTED.fullmatch(n)])
    for needed in ("torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch/include/ATen/ATen.h",
                   "nvidia/cu13/lib/libcudart.so.13", "nvidia/cu13/lib/libcupti.so.13"):
        if not (output / needed).exists():
            sys.exit(f"error: {needed} is in none of {', '.join(w.name for w in found)}")


if __name__ == "__main__":
    main()
