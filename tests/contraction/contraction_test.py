#!/usr/bin/env python3
"""The same bytes whatever the compiler may fuse: compares what builds of quantize_bytes print.

    contraction_test.py PROGRAM OTHER...
"""
import subprocess
import sys

SKIPPED = 77  # tests/CMakeLists.txt


def main():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        if " fma " not in file.read():
            print("the processor has no fused multiply-add")
            sys.exit(SKIPPED)
    program, *others = sys.argv[1:]
    expected = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    assert len(expected.splitlines()) == 12 and others, expected
    failed = False
    for other in others:
        found = subprocess.run([other], check=True, capture_output=True, text=True).stdout
        for line, wanted in zip(found.splitlines(), expected.splitlines()):
            if line != wanted:
                print(f"{other}: expected {wanted}\n  found {line}")
        failed |= found != expected
    sys.exit(failed)


main()
