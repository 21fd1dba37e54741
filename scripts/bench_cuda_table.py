#!/usr/bin/env python3
"""Prints the results of bench_cuda.sh as tables, each goal beside what was reached.

usage: bench_cuda_table.py FOLDER
"""

import json
import sys
from pathlib import Path

GOAL_TIMES_CUBLAS = {4: 3.4, 3: 4.5}
GOAL_OUTLIERS_COST, GOAL_16_TOKENS, GOAL_DECODE, GOAL_PEAK, GOAL_SECONDS = 0.10, 1.5, 2.8, 4e9, 60


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def mark(good):
    return "reached" if good else "MISSED"


def matmul(folder):
    report = read(folder, "matmul.json")
    rows = report["rows"]
    print(f"\n{report['device']}, reads {report['read_bytes_per_second'] / 1e9:.0f} GB/s\n")
    print("| out x in | bits | outliers | us | of bandwidth | times cuBLAS fp16 | goal | times the original | 16 tokens |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        if row["tokens"] != 1:
            continue
        same = [other for other in rows if other["tokens"] == 16 and all(
            other[key] == row[key] for key in ("out", "in", "bits", "sparsity_percent"))]
        sixteen = f"{same[0]['microseconds'] / row['microseconds']:.2f} x" if same else ""
        goal = GOAL_TIMES_CUBLAS[row["bits"]]
        print(f"| {row['out']} x {row['in']} | {row['bits']} | {row['sparsity_percent']:g} % | {row['microseconds']:.2f} | "
              f"{100 * row['share_of_bandwidth']:.0f} % | {row['times_cublas']:.2f} | "
              f"{goal} {mark(row['times_cublas'] >= goal)} | {row['times_original']:.1f} | {sixteen} |")
    costs = [row["outliers_cost"] for row in rows if row["tokens"] == 1 and abs(row["sparsity_percent"] - 0.45) < 1e-6]
    print(f"\n0.45 % outliers cost at most {100 * max(costs):.1f} % more time "
          f"(goal {100 * GOAL_OUTLIERS_COST:.0f} %: {mark(max(costs) <= GOAL_OUTLIERS_COST)})")


def quantize(folder):
    for bits in (4, 3):
        seconds = read(folder, f"quantize-w{bits}.json")["seconds"]
        parts = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items() if name != "total")
        print(f"{bits}-bit: from disk to quantized {seconds['total']:.1f} s ({parts}); goal {GOAL_SECONDS} s: "
              f"{mark(seconds['total'] <= GOAL_SECONDS)}")


def decode(folder):
    results = {name: read(folder, f"decode-{name}.json")["benchmark"] for name in ("fp16", "w4", "w3")}
    print("\n| decoding | tokens/s | ms a token | times fp16 | peak device memory |")
    print("|---|---|---|---|---|")
    for name, result in results.items():
        times = result["tokens_per_second"] / results["fp16"]["tokens_per_second"]
        peak = result.get("peak_device_memory_bytes", 0)
        print(f"| {name} | {result['tokens_per_second']:.1f} | {1000 * result['median_seconds_per_token']:.3f} | "
              f"{times:.2f} | {peak / 1e9:.2f} GB |")
    best = results["w4"]["tokens_per_second"] / results["fp16"]["tokens_per_second"]
    print(f"\n4-bit decodes {best:.2f} times as fast as fp16 (goal {GOAL_DECODE}: {mark(best >= GOAL_DECODE)}); 3-bit peak "
          f"memory under 4 GB: {mark(results['w3'].get('peak_device_memory_bytes', 9e9) < GOAL_PEAK)}")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    try:
        matmul(folder)
        print()
        quantize(folder)
        decode(folder)
    except (OSError, KeyError, ValueError) as error:
        print(f"bench_cuda_table: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
