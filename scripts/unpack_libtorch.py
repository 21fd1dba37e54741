#!/usr/bin/env python3
"""Unpacks from wheels what a build of this project needs of LibTorch: headers, two libraries and what those load.
The folders keep their places to each other, by which the libraries find one another (RPATH).

usage: unpack_libtorch.py [--cuda | --tools] WHEELS OUTPUT
  --cuda    the CUDA half of LibTorch too, and all libraries of NVIDIA's wheels
  --tools   only the programs of NVIDIA's wheels, into OUTPUT/bin
"""
import pathlib
import re
import sys
import zipfile

LICENCES = r"|[^/]*[.]dist-info/(LICENSE|NOTICE|License.txt|licenses/.*)"
CPU = r"torch/include/.*|torch/lib/(libc10|libtorch_cpu)\.so|nvidia/cu13/lib/(libcudart|libcupti)\.so\.13" + LICENCES
CUDA = CPU + r"|torch/lib/(libc10_cuda|libtorch_cuda|libtorch_nvshmem|libcaffe2_nvrtc)\.so|nvidia/.*/lib/[^/]*\.so[.0-9]*"
TOOLS = r"nvidia/cu13/bin/.*" + LICENCES

CPU_NEEDS = ("torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch/include/ATen/ATen.h",
             "nvidia/cu13/lib/libcudart.so.13", "nvidia/cu13/lib/libcupti.so.13")
CUDA_NEEDS = (*CPU_NEEDS, "torch/lib/libtorch_cuda.so", "torch/lib/libc10_cuda.so", "nvidia/cu13/lib/libcublas.so.13")
TOOLS_NEEDS = ("bin/cuobjdump", "bin/nvdisasm")


def main():
    arguments = sys.argv[1:]
    wanted, needs = CPU, CPU_NEEDS
    if arguments and arguments[0] in ("--cuda", "--tools"):
        wanted, needs = (CUDA, CUDA_NEEDS) if arguments.pop(0) == "--cuda" else (TOOLS, TOOLS_NEEDS)
    if len(arguments) != 2:
        sys.exit(__doc__)
    wheels, output = map(pathlib.Path, arguments)
    found = sorted(wheels.glob("*.whl"))
    if not found:
        sys.exit(f"error: {wheels}: no wheels")
    for wheel in found:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(output, [n for n in archive.namelist() if re.fullmatch(wanted, n)])
    if wanted is TOOLS:
        (output / "nvidia/cu13/bin").rename(output / "bin")
        (output / "nvidia/cu13").rmdir()
        (output / "nvidia").rmdir()
        for program in (output / "bin").iterdir():
            program.chmod(0o755)
    for needed in needs:
        if not (output / needed).exists():
            sys.exit(f"error: {needed} is in none of {', '.join(w.name for w in found)}")


if __name__ == "__main__":
    main()
